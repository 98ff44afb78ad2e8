"""Street images through an exported model, with nothing but numpy, pillow and onnxruntime.

Copy this folder next to a model and run `python -m street_inference MODEL IMAGES... --out DIR`.

    images      finds image files and decodes them to upright 8-bit RGB; training reads photographs by it, too
    naming      names of the results
    segmenter   the model under onnxruntime
    drawing     label maps as files, and frames of videos
    flow        photographs through the model and to their files
    pseudo      what was found in them as a data set to train on
    workers     several processes that share them out
    summary     the table of the results, and what is complete
    video       a video through the model, by PyAV
    frames      the table of a video
    progress    how far a call is, on stderr
    words       what the words of the command line mean
    command     the command line
"""
