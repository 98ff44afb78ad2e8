"""Street images through an exported model, with nothing but numpy, pillow and onnxruntime.

Copy this folder next to a model and run `python -m street_inference MODEL IMAGES... --out DIR`.

    images      finds image files and decodes them to upright 8-bit RGB; training reads photographs by it, too
    naming      names of the results
    segmenter   the model under onnxruntime
    drawing     label maps as files, and frames of videos
    flow        photographs through the model and to their files
    video       the same for a video, by PyAV
    command     the command line
"""
