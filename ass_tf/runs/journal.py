"""What a run reports while it goes on: log.jsonl, TensorBoard, and a progress bar or plain lines."""

import json
import time

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ass_tf.methods import ACCURACY, NORM
from ass_tf.methods.watch import Watch, accuracies
from ass_tf.system import process, storage, terminal


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


class Journal:
    """Collects the steps' losses and writes their means.

    Args:
        run: RunFolder.
        steps: int, the run's last step.
        start: int, the step it begins or goes on at.
        images_per_step: int.
        log_every: int, steps between records.
        window: dict of loss -> sum since the last record, and "steps". It is kept up to date and is a part of a
            snapshot's state, so that a resumed run writes the records that an undisturbed one would.
        watch: dict, how long each discriminator has won or lost, likewise.
    """

    def __init__(self, run, *, steps, start, images_per_step, log_every, window, watch):
        self.steps, self.log_every, self.images_per_step = steps, log_every, images_per_step
        self.window, self.watch = window, Watch(watch)
        self.window_waited = self.idle = 0.0
        self.mark = time.perf_counter()
        self.mark_step = start
        self.log = open(run.log, "ab", buffering=0)  # noqa: SIM115 (closed in __exit__)
        self.board = tf.summary.create_file_writer(str(run.board))
        self.console = Console()
        self.bar = None
        if self.console.is_terminal:
            note = TextColumn("{task.fields[note]}")
            self.bar = Progress(BarColumn(), MofNCompleteColumn(), note, console=self.console)
            self.task = self.bar.add_task("training", total=steps, completed=start, note="")

    def __enter__(self):
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *error):
        if self.bar:
            self.bar.stop()
        self.log.close()
        self.board.close()

    def say(self, text):
        """A line for the person who watches."""
        if self.bar:
            self.bar.console.print(text, highlight=False, markup=False, emoji=False)
        else:
            print(text, flush=True)

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
        for name, value in terms.items():
            self.window[name] = self.window.get(name, 0.0) + value
        self.window["steps"] = self.window.get("steps", 0) + 1
        if step % self.log_every == 0 or step == self.steps:
            self._record(step)
        elif self.bar:
            self.bar.update(self.task, completed=step)

    def _record(self, step):
        now = time.perf_counter()
        seconds = max(now - self.mark - self.idle, 1e-9)
        speed = (step - self.mark_step) * self.images_per_step / seconds
        count = self.window.pop("steps")
        means = {name: total / count for name, total in self.window.items()}
        record = {"step": step, **means, "images_per_second": speed, "waiting_share": self.window_waited / seconds}
        record["memory_mb"] = process.resident_memory()
        self.write(record)
        with self.board.as_default(step=step):
            for name, value in record.items():
                if name != "step" and value is not None:
                    tf.summary.scalar(name, value)
        left = (self.steps - step) * seconds / max(step - self.mark_step, 1)
        note = "  ".join(f"{_short(name)} {value:.3f}" for name, value in means.items() if ACCURACY not in name)
        note += "".join(f"  {_short(name)} {value:.0%} right" for name, value in accuracies(means).items())
        note += f"  {speed:.1f} images/s  {_clock(left)} left"
        if self.bar:
            self.bar.update(self.task, completed=step, note=note)
        else:
            print(f"step {step}/{self.steps}  {note}", flush=True)
        for warning in self.watch.update(means, count):
            self.write({"step": step, "warning": warning})
            self.say(f"warning: step {step}: {warning}")
        self.window.clear()
        self.window_waited = self.idle = 0.0
        self.mark, self.mark_step = now, step

    def _shares(self, step, norms):
        """Notes how much of G's gradient each weighted loss makes: its norm over the sum of all norms."""
        total = sum(norms.values())
        shares = {name: norm / total if total else 0.0 for name, norm in norms.items()}
        self.write({"step": step, "gradient_shares": shares, "gradient_norms": norms})
        with self.board.as_default(step=step):
            for name, share in shares.items():
                tf.summary.scalar(f"gradient_shares/{name}", share)

    def write(self, record):
        """Appends a line to log.jsonl; one that the full disk cuts short is dropped when the run goes on."""
        line = f"{json.dumps(record)}\n".encode()
        try:
            written = self.log.write(line)
        except OSError as error:
            raise OSError(f"{self.log.name}: {error.strerror}.") from None
        if written < len(line):
            raise OSError(f"{self.log.name}: no space is left for another line.")

    def pause(self, seconds):
        """Takes the time of a validation or a snapshot out of the speed."""
        self.idle += seconds

    def validation(self, step, scores, picture):
        """Notes a validation: Scores, and a picture uint8 (h, w, 3)."""
        self.write({"step": step, "validation": scores.to_json(confusion=False)})
        with self.board.as_default(step=step):
            for name in ("miou", "pixel_accuracy"):
                if (score := getattr(scores, name)) is not None:
                    tf.summary.scalar(f"validation/{name}", score)
            tf.summary.image("validation", picture[None])
        self.board.flush()
        accuracy = terminal.percent(scores.pixel_accuracy)
        self.say(f"step {step}: mIoU {terminal.mean_of(scores.miou, scores.iou)}, pixel accuracy {accuracy}")


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
