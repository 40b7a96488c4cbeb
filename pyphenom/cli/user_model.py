"""The command on a model of the user's own: the spectrum of its curvature."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    package_version,
    progress_bars,
    stop,
    stopped,
    terminal,
)

# torch takes seconds to import: nobody who asks for help waits for it.
if TYPE_CHECKING:
    from pyphenom.curvature.spectrum import Spectrum


class LossName(str, Enum):
    """Loss of a sample; the loss of the data is their mean."""

    mse = "mse"
    half = "half"
    cross_entropy = "cross-entropy"
    bce = "bce"


class OperatorName(str, Enum):
    """Matrix whose spectrum is measured."""

    hessian = "hessian"
    ggn = "ggn"
    fisher = "fisher"


class DtypeName(str, Enum):
    """Precision of everything that is computed."""

    float32 = "float32"
    float64 = "float64"


@app.command()
def spectrum(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="file.py:function, a function without arguments that returns a torch.nn.Module; or a saved module "
            "(.pt), with --trust.",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="An .npz file with the arrays X and y.")],
    loss: Annotated[
        LossName, typer.Option("--loss", help="mse is the mean over outputs, half is half the squared distance.")
    ],
    operator: Annotated[
        OperatorName, typer.Option("--operator", help="fisher is the empirical one.")
    ] = OperatorName.hessian,
    k: Annotated[int, typer.Option("-k", min=1, help="How many of the largest eigenvalues.")] = 5,
    probes: Annotated[int, typer.Option("--probes", min=2, help="Random vectors for trace and density.")] = 10,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Lanczos steps of each.")] = 80,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A saved state dict, loaded into the model as data only.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load a saved module, and run the code it may hold.")] = False,
    inputs: Annotated[str, typer.Option("--inputs", metavar="NAME", help="Array of the inputs in DATA.")] = "X",
    targets: Annotated[str, typer.Option("--targets", metavar="NAME", help="Array of the targets in DATA.")] = "y",
    dtype: Annotated[
        DtypeName | None, typer.Option("--dtype", help="Compute in this precision; that of the model by default.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Samples in memory at a time; all by default.")
    ] = None,
    seed: SeedOption = 0,
    output: OutputOption = OUTPUT / "spectrum",
    as_json: Annotated[bool, typer.Option("--json", help="Print spectrum.json, and nothing else, on stdout.")] = False,
) -> None:
    """Measure the spectrum of the curvature of a model of your own: eigenvalues, trace, density.

    Writes density.png and spectrum.json. The model is taken in the mode, train or eval, that it comes in.
    """
    check_writable(output)
    from pyphenom.curvature.spectrum import spectrum as measured
    from pyphenom.report import draw_spectrum, save_figure, spectrum_table
    from pyphenom.report.files import write

    try:
        with redirect_stdout(sys.stderr):  # what the user's own code prints is none of the results
            from pyphenom.curvature import linearize
            from pyphenom.curvature.torch_files import LOSSES, check_fit, load_data, load_model

            X, y = load_data(data, inputs, targets, loss.value)
            net = load_model(model, weights, trust)
            check_fit(net, X)
            with progress_bars() as progress:
                linear = linearize(net, LOSSES[loss.value], X, y, dtype and dtype.value, batch_size=batch_size)
                found = measured(getattr(linear, operator.value)(), k, probes, steps, seed, progress=progress)
                value = linear.loss
    except KeyboardInterrupt as interrupt:
        stopped(interrupt)
    except (ValueError, TypeError) as error:
        stop(str(error), WRONG_USAGE)
    facts = {
        "pyphenom": package_version(),
        "model": model,
        "data": str(data),
        "loss": {"name": loss.value, "value": value},
        "operator": operator.value,
        "parameters": linear.size,
        "samples": len(X),
        "dtype": str(linear.dtype),
        "backend": linear.backend,
        "seed": seed,
    }
    text = json.dumps(facts | found.to_dict(), indent=2, allow_nan=False)
    name = {"hessian": "Hessian", "ggn": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}[operator.value]
    title = f"{name} of {Path(model).name}, {linear.size} parameters, {len(X)} samples"
    write(output / "spectrum.json", text + "\n")
    save_figure(draw_spectrum(found, title, name), output / "density.png")
    if as_json:
        print(text)
    else:
        terminal().print(spectrum_table(found, title))
        print(f"loss {value:.6g}, {linear.backend} products in {linear.dtype}; files are in {output}")
    _judge(found)


def _judge(found: Spectrum) -> None:
    """End with status 1 where the eigenvalues are not all that they should be."""
    if not found.top.status.converged:
        complain(found.top.status.message, "not converged")
        raise typer.Exit(NOT_AS_EXPECTED)
