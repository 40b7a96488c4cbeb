"""A certificate: an upper bound on a true error, with the account of everything that it rests on."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pyphenom._arrays import as_integer, one_of
from pyphenom.bounds.accounting import BOTH, POINTS, price, scaled, test_set_value, values
from pyphenom.bounds.disintegrated import rivasplata
from pyphenom.bounds.held_out import test_set
from pyphenom.bounds.ledger import PREDICTORS, DeltaTree, HeldOut, Layer, Loss, MonteCarlo, Provenance, Union
from pyphenom.bounds.pac_bayes import maurer
from pyphenom.bounds.posterior import Posterior
from pyphenom.bounds.rows import Rows, without_overlap
from pyphenom.bounds.selection import Selection, best_valid
from pyphenom.bounds.verification import Verification, compared


@dataclass(frozen=True, repr=False)
class Certificate:
    r"""Upper bound on the true loss of a stochastic network, and its account.

    .. math:: R\le\mathrm{kl}^{-1}\Big(\hat r_+,\ \frac{\mathrm{KL}+\ln T+\ln(\xi(n)/\delta)}n\Big)

    with probability at least :math:`1-\delta-\delta'`, where :math:`\hat r_+` bounds the empirical Gibbs risk with
    probability :math:`1-\delta'` over the Monte-Carlo draws, and T candidates were chosen from. A record whose value
    does not follow from its entries cannot be made.

    Attributes
    ----------
    value : float
        The bound.
    risk_bound : float
        :math:`\hat r_+`.
    kl : float
        Relative entropy of the posterior to the prior in nats, the sum over `layers`.
    loss : Loss
        What is bounded.
    classes : int
        Of the labels.
    rows : Rows
        The n points.
    layers : tuple of Layer
        The KL by parameter tensors.
    delta : DeltaTree
        Failure probability and its parts.
    prior : Provenance
        Where the prior comes from.
    monte_carlo : MonteCarlo
        The draws.
    held_out : tuple of HeldOut
        Plain test bounds beside it, at least one. Each holds with its own probability.
    posterior_digest : str
        SHA-256 of the posterior's means and scales.
    model : str
        The network in short.
    unions : tuple of Union
        Choices made with the points in sight.
    predictor : {"gibbs", "vote", "sampled"}
        Of whom it speaks: a network with weights drawn anew for every prediction, the vote of all, or the one network
        that was drawn.
    posterior : Posterior or None
        The weights; not part of the JSON record.
    """

    value: float
    risk_bound: float
    kl: float
    loss: Loss
    classes: int
    rows: Rows
    layers: tuple[Layer, ...]
    delta: DeltaTree
    prior: Provenance
    monte_carlo: MonteCarlo
    held_out: tuple[HeldOut, ...]
    posterior_digest: str
    model: str
    unions: tuple[Union, ...] = ()
    predictor: str = "gibbs"
    posterior: Posterior | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        one_of("predictor", self.predictor, tuple(PREDICTORS))
        if (self.predictor == "sampled") != (self.monte_carlo.scheme == "one network"):
            raise ValueError(f"`predictor` is {self.predictor!r} and the draws are {self.monte_carlo.scheme!r}")
        if self.predictor == "vote" and self.loss.kind != "zero-one":
            raise ValueError(f"`loss` is {self.loss.kind!r}; expected 'zero-one' for a vote, which has no other")
        as_integer("classes", self.classes, 2)
        if self.monte_carlo.n != self.rows.count:
            raise ValueError(
                f"the draws were scored on {self.monte_carlo.n} points and the bound has n = {self.rows.count}; "
                "expected the same, the number of distinct points scored"
            )
        if not self.held_out:
            raise ValueError("`held_out` is empty; expected the plain test bound beside the certificate")
        if self.prior.rows is not None and self.prior.rows.indices == self.rows.indices:
            raise ValueError("the prior was learnt on the bound's rows; expected rows of its own")
        found = values(self.predictor, self.layers, self.rows, self.delta, self.monte_carlo, self.unions)
        for name, value in zip(("kl", "risk_bound", "value"), found, strict=True):
            if not math.isclose(getattr(self, name), value, rel_tol=1e-9, abs_tol=1e-12):
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; its own account gives {value!r}")
        for held in self.held_out:
            if not math.isclose(held.value, bound := test_set_value(held), rel_tol=1e-9):
                raise ValueError(f"the test bound is {held.value!r}; its own account gives {bound!r}")

    @classmethod
    def issue(
        cls,
        posterior: Posterior,
        *,
        loss: Loss,
        classes: int,
        rows: Rows,
        delta: DeltaTree,
        prior: Provenance,
        monte_carlo: MonteCarlo,
        held_out: tuple[HeldOut, ...],
        model: str,
        parameters: int,
        unions: tuple[Union, ...] = (),
        predictor: str = "gibbs",
    ) -> Certificate:
        """Compute the certificate of a posterior from the entries of its account.

        Parameters
        ----------
        posterior : Posterior
        loss, classes, rows, delta, prior, monte_carlo, held_out, model, unions, predictor
            See the class.
        parameters : int
            Number of the network's parameters, counted on the network itself.

        Returns
        -------
        Certificate

        Raises
        ------
        ValueError
            If the entries contradict each other.
        """
        layers = posterior.divergences()
        if (counted := sum(layer.parameters for layer in layers)) != parameters:
            raise ValueError(
                f"the KL covers {counted} parameters and the network has {parameters}; expected all of them, for a "
                "parameter outside of the KL was fitted for nothing"
            )
        kl, risk, value = values(predictor, layers, rows, delta, monte_carlo, unions)
        return cls(
            value, risk, kl, loss, classes, rows, layers, delta, prior, monte_carlo, held_out, posterior.digest(),
            model, unions, predictor, posterior=posterior,
        )  # fmt: skip

    @property
    def theorem(self) -> str:
        """What was proved."""
        return PREDICTORS[self.predictor][1]

    @property
    def reference(self) -> str:
        """By whom."""
        return PREDICTORS[self.predictor][2]

    @property
    def parameters(self) -> int:
        """Number of parameters that the KL covers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def vacuous(self) -> bool:
        """Whether a uniform guess among the classes does as well."""
        return not self.value < self.loss.chance(self.classes)

    def parts(self) -> tuple[tuple[str, float], ...]:
        """Return what the bound would be with one part of its account after another; the last is `value`.

        Returns
        -------
        tuple of (str, float)
            Mean loss of the draws; with the doubt of the draws; of the points at a KL of zero; with the KL; with the
            choices that were paid for, if any; and doubled, for a vote.
        """
        n, share = self.rows.count, self.delta.share(BOTH if self.predictor == "sampled" else POINTS)
        bound = rivasplata if self.predictor == "sampled" else maurer
        found = [
            ("loss in the draws", self.monte_carlo.mean),
            ("draws", self.risk_bound),
            ("points", float(bound(self.risk_bound, 0.0, n, share))),
            ("KL", float(bound(self.risk_bound, self.kl, n, share))),
        ]
        if self.unions:
            found.append(("choices", float(bound(self.risk_bound, self.kl + price(self.unions), n, share))))
        return (*found, ("vote", self.value)) if self.predictor == "vote" else tuple(found)

    def best_valid(self) -> Selection:
        """Choose between this certificate and its first test bound, at half of delta each.

        To take the smaller of two bounds as they are printed would be a choice after a look, unpaid. The two speak of
        different predictors.

        Returns
        -------
        Selection
        """
        held, total = self.held_out[0], self.delta.delta

        def own(delta: float) -> float:
            tree = scaled(self.delta, delta / total)
            return values(self.predictor, self.layers, self.rows, tree, self.monte_carlo, self.unions)[2]

        candidates: dict[str, Callable[[float], float]] = {
            self.predictor: own,
            held.predictor: lambda delta: float(test_set(held.errors, held.rows.count, delta * held.delta / total)),
        }
        return best_valid(candidates, total)

    def to_dict(self) -> dict[str, Any]:
        """Return the record without the weights, ready for JSON."""
        entries = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "posterior"}
        proved = {"theorem": self.theorem, "reference": self.reference}
        return proved | {name: _plain(value) for name, value in entries.items()}

    def to_json(self) -> str:
        """Return the record without the weights as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, posterior: Posterior | None = None) -> Certificate:
        """Read a record, and refuse one whose value does not follow from its entries.

        Parameters
        ----------
        text : str
            What `to_json` gave.
        posterior : Posterior, optional
            The weights, for `verify`.

        Returns
        -------
        Certificate

        Raises
        ------
        ValueError
            If it is no such record.
        """
        try:
            given = json.loads(text)
            prior, draws = given["prior"], given["monte_carlo"]
            proved = given.pop("theorem"), given.pop("reference")
            entries = given | {
                "loss": Loss(**given["loss"]),
                "rows": Rows(**given["rows"]),
                "layers": tuple(Layer(**layer) for layer in given["layers"]),
                "delta": _tree(given["delta"]),
                "prior": Provenance(**prior | {"rows": prior["rows"] and Rows(**prior["rows"])}),
                "monte_carlo": MonteCarlo(**draws | {"sums": tuple(draws["sums"])}),
                "held_out": tuple(HeldOut(**held | {"rows": Rows(**held["rows"])}) for held in given["held_out"]),
                "unions": tuple(Union(**union) for union in given["unions"]),
            }
            found = cls(**entries, posterior=posterior)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"`text` is no certificate ({type(error).__name__}: {error}); expected the JSON of to_json"
            ) from None
        if proved != (found.theorem, found.reference):
            raise ValueError(
                f"`theorem` is {proved[0]!r}; the account of a certificate of this kind is {found.theorem!r}"
            )
        return found

    def save(self, folder: str | Path) -> Path:
        """Write ``certificate.json`` and ``posterior.npz``.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ValueError
            If the weights are not at hand.
        """
        if self.posterior is None:
            raise ValueError("the certificate has no `posterior`; expected the weights. Write to_json() for the record")
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        self.posterior.save(target / "posterior.npz")
        (target / "certificate.json").write_text(self.to_json() + "\n", encoding="utf-8")
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Certificate:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : str or Path

        Returns
        -------
        Certificate

        Raises
        ------
        ValueError, OSError
            If the files are missing or contradict each other.
        """
        source = Path(folder)
        text = (source / "certificate.json").read_text(encoding="utf-8")
        return cls.from_json(text, Posterior.load(source / "posterior.npz"))

    def verify(self, X: Any, y: Any, model: Any = None, X_test: Any = None, y_test: Any = None) -> Verification:
        """Recompute the certificate from the saved weights and the data, draws included.

        Parameters
        ----------
        X, y : array or tensor
            All rows that `certify` was given.
        model : torch.nn.Module, optional
            The network; only its architecture is read. Needed unless it has linear layers with
            biases and one activation.
        X_test, y_test : array or tensor, optional
            As given to `certify`, if they were.

        Returns
        -------
        Verification

        Raises
        ------
        ValueError
            If the weights, or the architecture, are not at hand.
        """
        if self.posterior is None:
            raise ValueError("the certificate has no `posterior`; expected the weights. Read it with Certificate.load")
        # torch is at hand wherever there is a network to run.
        replay = importlib.import_module("pyphenom.bounds._torch_replay").replay
        again: Certificate = replay(self, X, y, model, X_test, y_test)
        without_overlap(self.posterior.prior_rows, self.posterior.bound_rows)
        return compared(self, again)

    def __repr__(self) -> str:
        from pyphenom.bounds.account import account

        return account(self)


def _tree(given: Any) -> DeltaTree:
    return DeltaTree(given["name"], given["delta"], tuple(_tree(part) for part in given["parts"]))


def _plain(value: Any) -> Any:
    """Return dataclasses as dictionaries and tuples as lists, as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return value.item() if isinstance(value, np.generic) else value
