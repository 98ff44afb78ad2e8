"""Whether the adversaries are in balance: a warning where a discriminator has won or lost for long."""

from ass_tf.methods import ACCURACY

PATIENCE = 500  # steps
WON, LOST = 0.99, 0.55  # accuracy, mean of both domains; 0.5 is chance

ADVICE = {
    "won": "it is right on {accuracy:.1%} for {steps} steps, so what it teaches G may be of little use; a lower "
    "optimiser.discriminator_lr or a larger {weight} may help.",
    "lost": "it is right on {accuracy:.1%} for {steps} steps, hardly more than chance, so it teaches G nothing; a "
    "higher optimiser.discriminator_lr may help, unless the domains are alike by now.",
}


class Watch:
    """Notes for how long each discriminator has won or lost, and warns once when that is long.

    Args:
        state: dict, empty or that of the snapshot from which a run goes on; kept up to date, ready for JSON.
    """

    def __init__(self, state):
        self.state = state

    def update(self, means, steps):
        """Takes note of some steps.

        Args:
            means: dict of float, the step's terms averaged over them; accuracies are `<network>_accuracy_<domain>`.
            steps: int, how many they were.

        Returns:
            warnings: list of str, one line each.
        """
        warnings = []
        for network, accuracy in accuracies(means).items():
            verdict = "won" if accuracy >= WON else "lost" if accuracy <= LOST else None
            before = self.state.get(network, {"verdict": None, "steps": 0})
            lasted = before["steps"] + steps if before["verdict"] == verdict else steps
            self.state[network] = {"verdict": verdict, "steps": lasted}
            if verdict and lasted >= PATIENCE > lasted - steps:
                weight = "losses.lambda_gadv" if network.startswith("global") else "losses.lambda_sadv"
                advice = ADVICE[verdict].format(accuracy=accuracy, steps=lasted, weight=weight)
                warnings.append(f"{network} has {verdict}: {advice}")
        return warnings


def accuracies(means):
    """How often each discriminator is right, both domains counting alike.

    Args:
        means: dict of float, as a record of log.jsonl has them.

    Returns:
        dict: network -> accuracy, from 0 to 1.
    """
    found = {}
    for name, value in means.items():
        network, is_accuracy, _ = name.partition(ACCURACY)
        if is_accuracy:
            found.setdefault(network, []).append(value)
    return {network: sum(values) / len(values) for network, values in found.items()}
