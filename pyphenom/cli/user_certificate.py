"""The command on a model of the user's own: a certificate of its error."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyphenom.cli.terminal import (
    NOT_AS_EXPECTED,
    OUTPUT,
    WRONG_USAGE,
    OutputOption,
    SeedOption,
    app,
    check_writable,
    complain,
    progress_bars,
    stop,
    stopped,
)

# torch takes seconds to import: nobody who asks for help waits for it.
if TYPE_CHECKING:
    from pyphenom.bounds import Certificate


class PriorName(str, Enum):
    """Where the prior's means come from."""

    train = "train"
    on = "continue"
    given = "given"


class PredictorName(str, Enum):
    """Of whom the certificate speaks."""

    gibbs = "gibbs"
    vote = "vote"
    sampled = "sampled"


class CertifiedLoss(str, Enum):
    """What is certified."""

    zero_one = "zero-one"
    cross_entropy = "cross-entropy"


@app.command()
def certify(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="file.py:function, a function without arguments that returns a torch.nn.Module; or a saved module "
            "(.pt), with --trust.",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="An .npz file with the arrays X and y.")],
    delta: Annotated[float, typer.Option("--delta", help="Probability of failure.")] = 0.05,
    prior: Annotated[
        PriorName,
        typer.Option("--prior", help="Train a prior anew on its own rows, train the weights on, or take them."),
    ] = PriorName.train,
    prior_fraction: Annotated[float, typer.Option("--prior-fraction", help="Share of the rows for the prior.")] = 0.5,
    prior_rows: Annotated[
        str | None,
        typer.Option("--prior-rows", metavar="NAME", help="Array in DATA: the rows that given weights have seen."),
    ] = None,
    unseen: Annotated[bool, typer.Option("--unseen", help="Given weights have seen no row of DATA.")] = False,
    prior_scale: Annotated[float, typer.Option("--prior-scale", help="Standard deviation of the prior.")] = 0.01,
    test_fraction: Annotated[float, typer.Option("--test-fraction", help="Share of the rows kept for a test.")] = 0.0,
    loss: Annotated[CertifiedLoss, typer.Option("--loss", help="What is certified.")] = CertifiedLoss.zero_one,
    predictor: Annotated[
        PredictorName, typer.Option("--predictor", help="Weights drawn anew each time, their vote, or one draw.")
    ] = PredictorName.gibbs,
    passes: Annotated[
        int | None, typer.Option("--passes", min=1, help="Over the bound's rows; chosen by their number by default.")
    ] = None,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="How many certificates this one is the best of.")
    ] = 1,
    prior_epochs: Annotated[int | None, typer.Option("--prior-epochs", min=0, help="Training of the prior.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=0, help="Training of the posterior.")] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A saved state dict, loaded into the model as data only.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load a saved module, and run the code it may hold.")] = False,
    inputs: Annotated[str, typer.Option("--inputs", metavar="NAME", help="Array of the inputs in DATA.")] = "X",
    targets: Annotated[str, typer.Option("--targets", metavar="NAME", help="Array of the classes in DATA.")] = "y",
    seed: SeedOption = 0,
    output: OutputOption = OUTPUT / "certificate",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print certificate.json, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Certify the error of a stochastic version of a model of your own, with the account of what it rests on.

    Writes certificate.json, posterior.npz and certificate.png. A batch norm must come in evaluation mode.
    """
    check_writable(output)
    if prior != PriorName.train and not unseen and prior_rows is None:
        stop(
            f"--prior {prior.value} takes given weights; expected --prior-rows with the name of the array in "
            "DATA that holds the numbers of the rows that they have seen, or --unseen",
            WRONG_USAGE,
        )
    try:
        with redirect_stdout(sys.stderr):  # what the user's own code prints is none of the results
            from pyphenom.bounds.torch_certify import certify as certified
            from pyphenom.bounds.training import Training
            from pyphenom.curvature.torch_files import check_fit, load_data, load_model

            X, y = load_data(data, inputs, targets)
            seen: Any = [] if unseen else prior_rows and load_data(data, prior_rows, prior_rows)[0]
            how = {"prior_epochs": prior_epochs, "epochs": epochs}
            training = Training(**{name: value for name, value in how.items() if value is not None})
            net = load_model(model, weights, trust)
            check_fit(net, X)
            with progress_bars() as progress:
                found = certified(
                    net, X, y, prior_fraction, delta, prior=prior.value, prior_rows=seen, prior_scale=prior_scale,
                    test_fraction=test_fraction, loss=loss.value, predictor=predictor.value, passes=passes,
                    candidates=candidates, training=training, seed=seed, progress=progress,
                )  # fmt: skip
    except KeyboardInterrupt as interrupt:
        stopped(interrupt)
    except (ValueError, TypeError) as error:
        stop(str(error), WRONG_USAGE)
    _write(found, output, Path(model).name)
    if as_json:
        print(found.to_json())
    else:
        print(found)
        print(f"files are in {output}")
    if found.vacuous:
        complain("a uniform guess among the classes does as well", "vacuous")
        raise typer.Exit(NOT_AS_EXPECTED)


def _write(found: Certificate, output: Path, name: str) -> None:
    from pyphenom.report import draw_certificate, save_figure

    found.save(output)
    title = f"certificate of {name}, n = {found.rows.count}"
    save_figure(draw_certificate(found, title), output / "certificate.png")
