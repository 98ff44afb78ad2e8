"""What a run reports while it goes on, and where to: log.jsonl, TensorBoard, a progress bar or plain lines, trackers.

The journal makes records. Sinks (`trackers.Sink`) take each of them: `step`, and the means of the losses, a
`validation`, `gradient_shares` or a `warning`.
"""

import json
import time

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ass_tf.methods import ACCURACY, NORM
from ass_tf.methods.watch import Watch, accuracies
from ass_tf.system import process, storage, terminal

MEASURED = ("step", "images_per_second", "waiting_share", "memory_mb")  # beside the losses in a record


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def cut_board(board, step, unvalidated=False):
    """Drops TensorBoard's records of steps that a resumed run takes again, and one that a kill cut short.

    Args:
        board: Path of TensorBoard's folder.
        step: int, that of the snapshot from which the run goes on.
        unvalidated: bool. The step's validation is still to be done.
    """
    for file in sorted(board.glob("*.tfevents.*")):
        kept, complete = [], True
        try:
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                again = unvalidated and any(value.tag.startswith("validation") for value in event.summary.value)
                if event.step < step or (event.step == step and not again):
                    kept.append(record)
                else:
                    complete = False
        except tf.errors.DataLossError:  # the end is cut short
            complete = False
        if not complete:
            with storage.replacing(file) as unfinished, tf.io.TFRecordWriter(str(unfinished)) as writer:
                for record in kept:
                    writer.write(record)


class Lines:
    """A sink: log.jsonl, a line for each record; one that the full disk cuts short is dropped when the run goes on."""

    def __init__(self, file):
        self.log = open(file, "ab", buffering=0)  # noqa: SIM115 (closed in close)

    def write(self, record):
        line = f"{json.dumps(record)}\n".encode()
        try:
            written = self.log.write(line)
        except OSError as error:
            raise OSError(f"{self.log.name}: {error.strerror}.") from None
        if written < len(line):
            raise OSError(f"{self.log.name}: no space is left for another line.")

    def close(self, error=None):
        self.log.close()


class Board:
    """A sink: TensorBoard, which also shows pictures."""

    def __init__(self, folder):
        self.writer = tf.summary.create_file_writer(str(folder))

    def write(self, record):
        if "validation" in record:
            scores = record["validation"]
            found = {f"validation/{name}": scores[name] for name in ("miou", "pixel_accuracy")}
        elif "gradient_shares" in record:
            found = {f"gradient_shares/{name}": share for name, share in record["gradient_shares"].items()}
        elif "warning" in record:
            return
        else:
            found = {name: value for name, value in record.items() if name != "step"}
        with self.writer.as_default(step=record["step"]):
            for name, value in found.items():
                if value is not None:
                    tf.summary.scalar(name, value)

    def show(self, step, picture):
        """A picture of a validation, uint8 (h, w, 3)."""
        with self.writer.as_default(step=step):
            tf.summary.image("validation", picture[None])
        self.writer.flush()

    def close(self, error=None):
        self.writer.close()


class Screen:
    """A sink: a progress bar where stdout is a terminal, else lines.

    Args:
        steps, start, images_per_step: as of `Journal`.
    """

    def __init__(self, steps, start, images_per_step):
        self.steps, self.images_per_step = steps, images_per_step
        self.console = Console()
        self.bar = None
        if self.console.is_terminal:
            note = TextColumn("{task.fields[note]}")
            self.bar = Progress(BarColumn(), MofNCompleteColumn(), note, console=self.console)
            self.task = self.bar.add_task("training", total=steps, completed=start, note="")

    def start(self):
        if self.bar:
            self.bar.start()

    def say(self, text):
        if self.bar:
            self.bar.console.print(text, highlight=False, markup=False, emoji=False)
        else:
            print(text, flush=True)

    def advance(self, step):
        """So many steps are done, of which no record tells yet."""
        if self.bar:
            self.bar.update(self.task, completed=step)

    def write(self, record):
        step = record["step"]
        if "validation" in record:
            scores = record["validation"]
            miou, accuracy = terminal.mean_of(scores["miou"], scores["iou"]), terminal.percent(scores["pixel_accuracy"])
            self.say(f"step {step}: mIoU {miou}, pixel accuracy {accuracy}")
        elif "warning" in record:
            self.say(f"warning: step {step}: {record['warning']}")
        elif "gradient_shares" not in record:
            self._tell(step, record["images_per_second"], {k: v for k, v in record.items() if k not in MEASURED})

    def _tell(self, step, speed, means):
        note = "  ".join(f"{_short(name)} {value:.3f}" for name, value in means.items() if ACCURACY not in name)
        note += "".join(f"  {_short(name)} {value:.0%} right" for name, value in accuracies(means).items())
        note += f"  {speed:.1f} images/s  {_clock((self.steps - step) * self.images_per_step / speed)} left"
        if self.bar:
            self.bar.update(self.task, completed=step, note=note)
        else:
            print(f"step {step}/{self.steps}  {note}", flush=True)

    def close(self, error=None):
        if self.bar:
            self.bar.stop()


class Journal:
    """Collects the steps' losses and hands records of their means to sinks.

    Args:
        run: RunFolder.
        steps: int, the run's last step.
        start: int, the step it begins or goes on at.
        images_per_step: int.
        log_every: int, steps between records.
        window: dict of loss -> sum since the last record, "steps", and "late": loss -> how many of them were before it
            came. It is kept up to date and is a part of a snapshot's state, so that a resumed run writes the records
            that an undisturbed one would.
        watch: dict, how long each discriminator has won or lost, likewise.
        followers: further sinks.
    """

    def __init__(self, run, *, steps, start, images_per_step, log_every, window, watch, followers=()):
        self.steps, self.log_every, self.images_per_step = steps, log_every, images_per_step
        self.window, self.watch = window, Watch(watch)
        self.window_waited = self.idle = 0.0
        self.mark = time.perf_counter()
        self.mark_step = start
        self.board, self.screen = Board(run.board), Screen(steps, start, images_per_step)
        self.sinks = (Lines(run.log), self.board, self.screen, *followers)

    def __enter__(self):
        self.screen.start()
        return self

    def __exit__(self, kind, error, trace):
        for sink in self.sinks:
            sink.close(error)

    def say(self, text):
        """A line for the person who watches."""
        self.screen.say(text)

    def step(self, step, terms, waited):
        """Notes one step that is done.

        Args:
            step: int, number of steps done.
            terms: dict of float, what `TrainingStep.take` returned.
            waited: float, seconds it waited for data.
        """
        self.window_waited += waited
        norms = {name.removeprefix(NORM): terms[name] for name in terms if name.startswith(NORM)}
        if norms:
            self._shares(step, norms)
            terms = {name: value for name, value in terms.items() if not name.startswith(NORM)}
        before = self.window.get("steps", 0)
        for name, value in terms.items():
            if before and name not in self.window:  # as self-training's, which begins later than the others
                self.window.setdefault("late", {})[name] = before
            self.window[name] = self.window.get(name, 0.0) + value
        self.window["steps"] = before + 1
        if step % self.log_every == 0 or step == self.steps:
            self._record(step)
        else:
            self.screen.advance(step)

    def _record(self, step):
        now = time.perf_counter()
        seconds = max(now - self.mark - self.idle, 1e-9)
        count, late = self.window.pop("steps"), self.window.pop("late", {})
        means = {name: total / (count - late.get(name, 0)) for name, total in self.window.items()}
        speed = (step - self.mark_step) * self.images_per_step / seconds
        record = {"step": step, **means, "images_per_second": speed, "waiting_share": self.window_waited / seconds}
        record["memory_mb"] = process.resident_memory()
        self.write(record)
        for warning in self.watch.update(means, count):
            self.write({"step": step, "warning": warning})
        self.window.clear()
        self.window_waited = self.idle = 0.0
        self.mark, self.mark_step = now, step

    def _shares(self, step, norms):
        """Notes how much of G's gradient each weighted loss makes: its norm over the sum of all norms."""
        total = sum(norms.values())
        shares = {name: norm / total if total else 0.0 for name, norm in norms.items()}
        self.write({"step": step, "gradient_shares": shares, "gradient_norms": norms})

    def write(self, record):
        """Hands a record to all sinks."""
        for sink in self.sinks:
            sink.write(record)

    def pause(self, seconds):
        """Takes the time of a validation or a snapshot out of the speed."""
        self.idle += seconds

    def validation(self, step, scores, picture):
        """Notes a validation: Scores, and a picture uint8 (h, w, 3), which only TensorBoard gets."""
        self.write({"step": step, "validation": scores.to_json(confusion=False)})
        self.board.show(step, picture)


class Quiet:
    """In a Journal's place on the workers that do not write."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def say(self, text):
        """Nothing, as all that follow."""

    def step(self, step, terms, waited): ...

    def pause(self, seconds): ...

    def validation(self, step, scores, picture): ...


def _short(name):
    """Name of a loss for the eye: segmentation_loss_source -> seg_source."""
    for long, short in (("segmentation", "seg"), ("adversarial", "adv"), ("discriminator", "disc"), ("_loss", "")):
        name = name.replace(long, short)
    return name
