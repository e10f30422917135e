"""
Derivatives of the first, second and third order of every operation, by PyTorch in float64.

For each case f and inputs x: L = sum(sin(f(x)) * u); first = dL/dx; second = d/dx sum <v, first>; third = d/dx sum <w, second>.
Inputs, u, v and w are given by a formula (`fill`) that the test repeats, so that only results are stored. Images are NHWC and
convolution weights HWIO, as there.

Usage: python tests/golden/second_derivatives.py   (needs torch; writes second_derivatives.json beside this file)
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def fill(shape, seed):
    n = math.prod(shape)
    values = [math.floor(64 * math.sin(12.9898 * (i + 1) + 78.233 * seed)) / 64 for i in range(n)]
    return torch.tensor(values).reshape(shape)


def conv(x, w, stride=1, pad=(0, 0, 0, 0)):
    top, bottom, left, right = pad
    x = F.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    return F.conv2d(x, w.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)


def norm(x, axes, eps):
    # By definition: PyTorch's own norms give wrong derivatives of the third order (2.15), and these of the first and second.
    centred = x - x.mean(axes, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(axes, keepdim=True) + eps)


def group_norm(x, g, b, groups, eps=1e-5):
    split = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
    y = norm(split, (1, 3), eps).reshape(x.shape) * g + b
    torch.testing.assert_close(y, F.group_norm(x.movedim(-1, 1), groups, g, b, eps).movedim(1, -1))
    return y


def layer_norm(x, g, b, eps=1e-5):
    y = norm(x, -1, eps) * g + b
    torch.testing.assert_close(y, F.layer_norm(x, x.shape[-1:], g, b, eps))
    return y


def attend(q, k, v, causal=False, scale=None):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    scores = q @ k.transpose(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~mask, -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2)


def geglu(x):
    h, gate = x.chunk(2, -1)
    return h * F.gelu(gate)


def replace(table, rows, ids):
    return table.index_copy(0, torch.tensor(ids), rows)


def normal_noise(x):
    return x * x * fill(x.shape, 9)


def transformer(x, ln, wq, wk, wv, wo, w1, w2):
    b, t, c = x.shape
    h = layer_norm(x, ln, ln)
    q, k, v = (F.linear(h, w).reshape(b, t, 2, c // 2) for w in (wq, wk, wv))
    x = x + F.linear(attend(q, k, v).reshape(b, t, c), wo)
    return x + F.linear(geglu(F.linear(layer_norm(x, ln, ln), w1)), w2)


def resnet(x, emb, g, w1, w2, proj):
    h = conv(F.silu(group_norm(x, g, g, 2)), w1, 1, (1, 1, 1, 1))
    h = h + F.linear(F.silu(emb), proj)[:, None, None, :]
    h = conv(F.silu(group_norm(h, g, g, 2)), w2, 1, (1, 1, 1, 1))
    return x + h


def recurrent(xs, h, w):
    sums = torch.zeros_like(h)
    for x in xs:
        h = torch.tanh((w * h).sum(1) + x)
        sums = sums + h * h
    return h * 2 + sums


IDS = torch.tensor([[0, 3, 1], [3, 2, 7]]).clamp(max=4)
PICK = torch.tensor([[1, 0, 1], [0, 1, 0]]).bool()
GAMMA = lambda b: 0.75 + b / 4

CASES = {
    "add": ([[2, 3], [3]], lambda a, b: a + b),
    "sub": ([[2, 1], [2, 3]], lambda a, b: a - b),
    "mul": ([[2, 3], [2, 1]], lambda a, b: a * b),
    "div": ([[2, 3], [3]], lambda a, b: a / (b + 1.5)),
    "maximum": ([[2, 3], [2, 3]], torch.maximum),
    "minimum": ([[2, 3], [2, 3]], torch.minimum),
    "neg": ([[4]], lambda a: -a),
    "abs": ([[4]], torch.abs),
    "exp": ([[4]], torch.exp),
    "log": ([[4]], lambda a: torch.log(a + 1.25)),
    "sqrt": ([[4]], lambda a: torch.sqrt(a + 1.25)),
    "rsqrt": ([[4]], lambda a: torch.rsqrt(a + 1.25)),
    "square": ([[4]], torch.square),
    "floor": ([[4]], lambda a: a * torch.floor(a * 3)),
    "clamp": ([[6]], lambda a: torch.square(a).clamp(0.1, 0.5)),
    "pow 3": ([[4]], lambda a: a**3),
    "pow 1": ([[4]], lambda a: a**1),
    "pow 0": ([[4]], lambda a: a**0 * a),
    "pow -2": ([[4]], lambda a: (a + 1.5) ** -2),
    "pow 0.5": ([[4]], lambda a: (a + 1.5) ** 0.5),
    "pow 2.5": ([[4]], lambda a: (a + 1.5) ** 2.5),
    "pow -1.5": ([[4]], lambda a: (a + 1.5) ** -1.5),
    "pow 20": ([[4]], lambda a: a.abs() ** 20),
    "sin": ([[4]], lambda a: torch.sin(a * 9)),
    "cos": ([[4]], lambda a: torch.cos(a * 9)),
    "sigmoid": ([[6]], lambda a: torch.sigmoid(a * 3)),
    "tanh": ([[6]], lambda a: torch.tanh(a * 2)),
    "erf": ([[6]], lambda a: torch.erf(a * 2)),
    "silu": ([[6]], lambda a: F.silu(a * 3)),
    "quickGelu": ([[6]], lambda a: a * 3 * torch.sigmoid(1.702 * 3 * a)),
    "gelu": ([[6]], lambda a: F.gelu(a * 3)),
    "gelu tanh": ([[6]], lambda a: F.gelu(a * 3, approximate="tanh")),
    "relu": ([[6]], lambda a: F.relu(a * a - 0.25)),
    "geglu": ([[3, 8]], geglu),
    "where": ([[2, 3], [2, 3]], lambda a, b: torch.where(PICK, a * b, a)),
    "where less": ([[2, 3], [2, 3]], lambda a, b: torch.where(a < b, a * a, b * a)),
    "cast": ([[2, 4]], lambda a: a * a),
    "sum": ([[2, 3, 4]], lambda a: (a * a).sum((0, 2))),
    "sum all": ([[2, 3]], lambda a: (a * a).sum()),
    "sum keep": ([[2, 3]], lambda a: (a * a).sum(1, keepdim=True)),
    "mean": ([[3, 4]], lambda a: (a**3).mean(0)),
    "max": ([[3, 4]], lambda a: torch.amax(a * a, 1)),
    "max all": ([[3, 4]], lambda a: torch.amax(a)),
    "expand": ([[3, 1]], lambda a: a.expand(2, 3, 4)),
    "reshape": ([[3, 4]], lambda a: (a * a).reshape(2, 6)),
    "permute": ([[2, 3, 4]], lambda a: (a * a).permute(2, 0, 1)),
    "transpose": ([[2, 3]], lambda a: (a * a).transpose(0, 1)),
    "slice": ([[3, 4]], lambda a: (a * a)[:, 1:3]),
    "pad": ([[2, 2]], lambda a: F.pad(torch.exp(a), (2, 0, 1, 3))),
    "concat": ([[2, 2], [2, 3]], lambda a, b: torch.cat([a, b, a * a], 1)),
    "upsampleNearest": ([[1, 2, 3, 2]], lambda a: (a * a).repeat_interleave(2, 1).repeat_interleave(2, 2)),
    "matmul": ([[2, 3], [3, 2]], lambda a, b: a @ b),
    "matmul ta": ([[3, 2], [3, 2]], lambda a, b: a.T @ b),
    "matmul tb": ([[2, 3], [2, 3]], lambda a, b: a @ b.T),
    "matmul ta tb": ([[3, 2], [2, 3]], lambda a, b: a.T @ b.T),
    "matmul batched": ([[2, 2, 3], [2, 3, 2]], lambda a, b: a @ b),
    "matmul shared": ([[2, 2, 3], [3, 2]], lambda a, b: a @ b),
    "matmul shared ta": ([[2, 3, 2], [3, 2]], lambda a, b: a.transpose(1, 2) @ b),
    "matmul shared ta tb": ([[2, 3, 2], [2, 3]], lambda a, b: a.transpose(1, 2) @ b.T),
    "linear": ([[2, 2, 3], [4, 3], [4]], F.linear),
    "conv2d": ([[1, 4, 4, 2], [3, 3, 2, 2]], lambda x, w: conv(x, w, 1, (1, 1, 1, 1))),
    "conv2d stride": ([[2, 5, 4, 1], [2, 3, 1, 2]], lambda x, w: conv(x, w, 2, (0, 1, 2, 1))),
    "conv2d 1x1": ([[1, 2, 2, 3], [1, 1, 3, 2]], conv),
    "embedding": ([[5, 3]], lambda t: (t * t)[IDS]),
    "replaceRows": ([[5, 2], [2, 2]], lambda t, r: replace(t * t, r * r, [3, 1]) ** 2),
    "embedding of replaceRows": ([[5, 2], [2, 2]], lambda t, r: replace(t * t, r * r, [3, 1])[IDS]),
    "softmax": ([[3, 4]], lambda x: torch.softmax(x * 2, -1)),
    "logSumExp": ([[3, 4]], lambda x: torch.logsumexp(x * 2, -1)),
    "logSoftmax": ([[3, 4]], lambda x: torch.log_softmax(x * 2, -1)),
    "layerNorm": ([[3, 5], [5], [5]], layer_norm),
    "layerNorm of 8": ([[2, 8], [8], [8]], lambda x, g, b: layer_norm(x, g, b, 0.1)),
    "layerNorm of one": ([[1, 3], [3], [3]], lambda x, g, b: layer_norm(x * x, g, b)),
    "groupNorm": ([[2, 3, 4], [4], [4]], lambda x, g, b: group_norm(x, g, b, 2)),
    "groupNorm of an image": ([[1, 2, 2, 6], [6], [6]], lambda x, g, b: group_norm(x, g, b, 3, 0.1)),
    "groupNorm of one group": ([[2, 2, 3], [3], [3]], lambda x, g, b: group_norm(x, g, b, 1)),
    "norm of a norm": ([[2, 4], [4]], lambda x, g: layer_norm(layer_norm(x, g, g) ** 2 * g, x[0], g)),
    "attention": ([[1, 3, 2, 4], [1, 2, 2, 4], [1, 2, 2, 4]], attend),
    "attention causal": ([[2, 3, 1, 4], [2, 3, 1, 4], [2, 3, 1, 4]], lambda *x: attend(*x, causal=True)),
    "attention of itself": ([[1, 3, 2, 3]], lambda x: attend(x, x * x, x + 1, scale=2.0)),
    "cutGradient": ([[3, 2]], lambda x: torch.cat([(x[:1] * x[:1]).detach(), x[1:] * x[1:]])),
    "stopGradient": ([[4]], lambda x: x * x * x.detach()),
    "checkpoint": ([[4], [4]], lambda a, b: torch.exp(a * b) * (a + b * b)),
    "checkpoint of what depends": ([[4]], lambda x: x * torch.exp(x) + torch.exp(x) ** 2),
    "customVjp": ([[4], [4]], lambda a, b: torch.exp(a * b) * b),
    "scan": ([[5, 2], [2], [2, 2]], recurrent),
    "random": ([[2, 3]], normal_noise),
    "a use twice": ([[4]], lambda x: x * torch.sin(x) + torch.exp(x) / (x + 2)),
    "transformer": (
        [[1, 3, 4], [4], [4, 4], [4, 4], [4, 4], [4, 4], [8, 4], [4, 4]],
        transformer,
    ),
    "resnet": ([[1, 3, 3, 4], [1, 3], [4], [3, 3, 4, 4], [3, 3, 4, 4], [4, 3]], resnet),
}


def derivatives(shapes, f):
    xs = [fill(s, i + 1).requires_grad_() for i, s in enumerate(shapes)]
    y = f(*xs)
    scalar = (torch.sin(y) * fill(y.shape, 50)).sum()
    orders = []
    for seed in (60, 70, 80):
        grads = (
            torch.autograd.grad(scalar, xs, create_graph=True, allow_unused=True)
            if scalar.requires_grad
            else [None] * len(xs)
        )
        grads = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, xs)]
        orders.append([[float(f"{v:.10g}") for v in g.detach().flatten().tolist()] for g in grads])
        scalar = sum((g * fill(x.shape, seed + i)).sum() for i, (g, x) in enumerate(zip(grads, xs)))
    return {"shapes": shapes, "orders": orders}


# First derivatives where there is more than one answer: (function, values of each input).
EDGES = {
    "abs": (torch.abs, [[-1, 0, -0.0, 2]]),
    "relu": (F.relu, [[-1, 0, 1]]),
    "clamp": (lambda a: a.clamp(-1, 2), [[-2, -1, 0, 2, 3]]),
    "clamp of a point": (lambda a: a.clamp(1, 1), [[0, 1, 2]]),
    "maximum": (torch.maximum, [[1, 2, 3, 0], [1, 3, 2, 0]]),
    "minimum": (torch.minimum, [[1, 2, 3, 0], [1, 3, 2, 0]]),
    "maximum of itself": (lambda a: torch.maximum(a, a), [[1, -2, 0]]),
    "max": (torch.amax, [[1, 3, 3, 3, -1]]),
    "pow 2": (lambda a: a**2, [[0, -1]]),
    "pow 1": (lambda a: a**1, [[0, -1]]),
    "pow 0": (lambda a: a**0, [[0, -1]]),
    "pow 3": (lambda a: a**3, [[0, -2]]),
    "pow 1.5": (lambda a: a**1.5, [[0, 4]]),
    "floor": (torch.floor, [[0, 1, 1.5]]),
    "gelu": (F.gelu, [[0, 30, -30, 1e10, -1e10, 1e30, -1e30]]),
    "gelu tanh": (lambda a: F.gelu(a, approximate="tanh"), [[0, 30, -30, 1e10, -1e10, 1e30, -1e30]]),
    "silu": (F.silu, [[0, 90, -90, 1e10, -1e10, 1e30, -1e30]]),
    "sigmoid": (torch.sigmoid, [[0, 30, -30, 1e10, -1e10, 1e30, -1e30]]),
    "tanh": (torch.tanh, [[0, 30, -30, 1e10, -1e10, 1e30, -1e30]]),
    "erf": (torch.erf, [[0, 30, -30, 1e10, -1e10, 1e30, -1e30]]),
}


def edge(f, values):
    xs = [torch.tensor([float(v) for v in x]).requires_grad_() for x in values]
    orders = []
    scalar = f(*xs).sum()
    for _ in range(2):
        grads = (
            torch.autograd.grad(scalar, xs, create_graph=True, allow_unused=True)
            if scalar.requires_grad
            else [None] * len(xs)
        )
        grads = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, xs)]
        orders.append([(g.detach() + 0 * x.detach().sign()).tolist() for g, x in zip(grads, xs)])
        scalar = sum(g.sum() for g in grads)
    return {"values": values, "orders": orders}


golden = {
    "cases": {name: derivatives(*case) for name, case in CASES.items()},
    "edges": {name: edge(*case) for name, case in EDGES.items()},
}
path = pathlib.Path(__file__).with_suffix(".json")
# JSON has no infinity, but a number beyond all others.
text = json.dumps(golden, separators=(",", ":")).replace("Infinity", "1e999")
path.write_text(text.replace('},"', '},\n"') + "\n")
