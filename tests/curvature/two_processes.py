"""One of two processes, each with its share of the samples: python two_processes.py RANK FOLDER."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

from torch_curvature import integers, mlp, normal, seeded

from pyphenom.curvature import linearize


def main(rank, folder):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    X, y = normal(10, 4), integers(3, 10)
    share = slice(0, 7) if rank == 0 else slice(7, 10)
    reductions, reduce = [], dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: (reductions.append(1), reduce(*args, **kwargs))
    model, V, out = seeded(lambda: mlp(4, 5, 3)), np.random.default_rng(0).standard_normal((43, 6)), {}
    for batch_size in (None, 2):
        linear = linearize(model, "cross_entropy", X[share], y[share], group=dist.group.WORLD, batch_size=batch_size)
        for name in ("hessian", "ggn", "fisher", "ntk"):
            operator = getattr(linear, name)()
            reductions.clear()
            out[f"{name} {batch_size}"] = operator @ V
            assert len(reductions) == 1, f"{len(reductions)} reductions for one block of {name}"
        out[f"gradient {batch_size}"] = linear.gradient()
        out[f"loss {batch_size}"] = linear.loss
        out[f"drawn {batch_size}"] = linear.fisher(30_000 if batch_size is None else 2) @ V
        with pytest.raises(ValueError, match="several processes"):
            linear.jacobian()
        with pytest.raises(ValueError, match="several processes"):
            linear.ntk("samples")
    same = linearize(model, "cross_entropy", X, y, group=dist.group.WORLD).fisher(2) @ V
    assert not np.allclose(same, linearize(model, "cross_entropy", X, y).fisher(2) @ V), "both processes draw the same"
    np.savez(folder / f"rank{rank}.npz", **out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
