"""LAMB, the optimizer of the recipes of "ResNet strikes back"; PyTorch has none."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from places.errors import ConfigError


class Lamb(Optimizer):
    """Adam whose step is scaled, layer by layer, to the size of the weights.

    You et al. 2019, "Large Batch Optimization for Deep Learning", arXiv 1904.00962, as in NVIDIA's
    FusedLAMB and timm: the gradients are clipped by their norm over all layers first, and what has
    no weight decay is stepped as by Adam.

    Args:
        params: The parameters, or groups of them.
        lr: The learning rate.
        betas: Decays of the means of gradients and of their squares, each in 0..1.
        eps: Added to the denominator.
        weight_decay: Weight decay, added to the step before it is scaled.
        max_grad_norm: Norm of the gradients of all layers together at most; null for no limit.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
    ) -> None:
        if not (lr >= 0 and eps >= 0 and weight_decay >= 0 and all(0 <= b < 1 for b in betas)):
            raise ConfigError(
                f"Lamb takes lr, eps and weight_decay of 0 or more, and betas in 0..1, not {lr}, "
                f"{eps}, {weight_decay} and {list(betas)}"
            )
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "max_grad_norm": max_grad_norm})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step. `closure` computes loss and gradients again, and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = [p for group in self.param_groups for p in group["params"]]
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not grads:
            return loss
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        for group in self.param_groups:
            limit = group["max_grad_norm"]
            scale = 1.0 if limit is None else (norm / limit).clamp(min=1.0)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad / scale, group)
        return loss

    def _move(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """Change one parameter in place."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2) = int(state["step"]), group["betas"]
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denominator = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        move = mean / denominator / (1 - beta1**step)
        if group["weight_decay"]:
            move.add_(parameter, alpha=group["weight_decay"])
            size, length = parameter.norm(), move.norm()
            move *= torch.where((size > 0) & (length > 0), size / length, 1.0)
        parameter.add_(move, alpha=-group["lr"])
