"""
Derivatives of the first, second and third order of every operation, by PyTorch in float64.

For each case f and inputs x: L = sum(sin(f(x)) * u); first = dL/dx; second = d/dx sum <v, first>; third = d/dx sum <w, second>.
Inputs, u, v and w are given by a formula (`fill`) that the test repeats, so that only results are stored. Images are NHWC and
convolution weights HWIO, as there.

Usage: python tests/golden/second_derivatives.py   (needs torch; writes second_derivatives.json beside this file)
"""
import itertools
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
    "conv2d upsampled": (
        [[1, 3, 2, 2], [3, 2, 2, 2]],
        lambda x, w: conv(x.repeat_interleave(2, 1).repeat_interleave(2, 2), w, 1, (1, 1, 0, 1)),
    ),
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


# The wider surface: see `tests/second_derivatives_more.ts`.
PLACES = torch.tensor([[1, 1, 0], [2, 3, 0], [1, 0, 2]])
SPOTS = torch.tensor([[0, 1], [2, 0], [0, 1], [2, 1]])
LABELS = torch.tensor([2, 0, 3])


def linear_scan(a, b):
    y, out = torch.zeros_like(a[..., 0]), []
    for k in range(a.shape[-1]):
        y = a[..., k] * y + b[..., k]
        out.append(y)
    return torch.stack(out, -1)


def scatter_at(x, u, accumulate):
    return x.index_put((SPOTS[:, 0], SPOTS[:, 1]), u, accumulate)


def scatter_reduce(x, u, how):
    return x.scatter_reduce(1, PLACES, u, how, include_self=True)


def rms_norm(x, g):
    y = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * g
    torch.testing.assert_close(y, F.rms_norm(x, (x.shape[-1],), g, 1e-6))
    return y


def batch_norm(x, g, b):
    y = norm(x, (0, 1), 1e-5) * g + b
    torch.testing.assert_close(y, F.batch_norm(x.movedim(-1, 1), None, None, g, b, True).movedim(1, -1))
    return y


def masked_attention(q, k, v):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    scores = 2 * torch.tanh(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) / 2)
    i, j = torch.arange(3)[:, None], torch.arange(3)[None]
    scores = scores.masked_fill((j > i) | (i - j > 1), -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2)


def grouped_attention(q, k, v):
    k, v = k.repeat_interleave(2, 2), v.repeat_interleave(2, 2)
    return attend(q, k, v)


def last(f):
    """A function of NCHW images as one of NHWC."""
    return lambda x: f(x.movedim(-1, 1)).movedim(1, -1)


CASES.update({
    "expm1": ([[4]], lambda a: torch.expm1(a * 2)),
    "log1p": ([[4]], lambda a: torch.log1p(a * 0.9)),
    "exp2": ([[4]], torch.exp2),
    "log2": ([[4]], lambda a: torch.log2(a + 1.25)),
    "log10": ([[4]], lambda a: torch.log10(a + 1.25)),
    "cbrt": ([[4]], lambda a: torch.sign(a + 0.01) * (a + 0.01).abs() ** (1 / 3)),
    "sinh": ([[4]], torch.sinh),
    "cosh": ([[4]], torch.cosh),
    "tan": ([[4]], torch.tan),
    "asin": ([[4]], lambda a: 2 * torch.asin(a * 0.9)),
    "acos": ([[4]], lambda a: torch.acos(a * 0.9)),
    "atan": ([[4]], lambda a: torch.atan(a * 3)),
    "atan2": ([[2, 3], [3]], lambda a, b: torch.atan2(a, b + 0.01)),
    "asinh": ([[4]], lambda a: torch.asinh(a * 3)),
    "acosh": ([[4]], lambda a: torch.acosh(a + 2.5)),
    "atanh": ([[4]], lambda a: torch.atanh(a * 0.9)),
    "logAddExp": ([[2, 3], [3]], torch.logaddexp),
    "softplus": ([[6]], lambda a: F.softplus(a * 3)),
    "logSigmoid": ([[6]], lambda a: F.logsigmoid(a * 3)),
    "pow of tensors": ([[2, 3], [3]], lambda a, b: (a + 1.5) ** (b * 2)),
    "steps": ([[4]], lambda a: a * (a * 3).ceil() + a * a * (a * 3).round() + a * torch.sign(a) * (a * 3).trunc()),
    "remainder": ([[6], [6]], lambda a, b: torch.remainder(a * 5, b + 1.5)),
    "fmod": ([[6], [6]], lambda a, b: torch.fmod(a * 5, b + 1.5)),
    "leakyRelu": ([[6]], lambda a: F.leaky_relu(a * a - 0.25, 0.1)),
    "elu": ([[6]], lambda a: F.elu(a * 2, 1.5)),
    "celu": ([[6]], lambda a: F.celu(a * 2, 1.5)),
    "selu": ([[6]], lambda a: F.selu(a * 2)),
    "hardSwish": ([[6]], lambda a: a * 4 * ((a * 4) / 6 + 0.5).clamp(0, 1)),
    "hardSigmoid": ([[6]], lambda a: ((a * 4) / 6 + 0.5).clamp(0, 1)),
    "mish": ([[6]], lambda a: F.mish(a * 3)),
    "softsign": ([[6]], lambda a: F.softsign(a * 3)),
    "glu": ([[3, 4]], lambda a: F.glu(a, -1)),
    "swiglu": ([[3, 4]], lambda a: a[:, :2] * F.silu(a[:, 2:])),
    "min": ([[3, 4]], lambda a: torch.amin(a * a, 1)),
    "prod": ([[3, 4]], lambda a: torch.prod(a * 2, 1)),
    "prod of two axes": ([[2, 2, 3]], lambda a: torch.prod(torch.prod(a + 1.5, 2), 0)),
    "prod with a zero": ([[2, 3]], lambda a: torch.prod(a - a.detach() + torch.tensor([[0, 2.0, 3], [1, 0, 0]]), 1)),
    "variance": ([[3, 4]], lambda a: torch.var(a, 1, correction=1)),
    "std": ([[3, 4]], lambda a: torch.std(a, (0, 1), correction=0)),
    "norm": ([[3, 4]], lambda a: torch.linalg.vector_norm(a, 2, 1)),
    "norm of order 3": ([[3, 4]], lambda a: torch.linalg.vector_norm(a, 3, 0)),
    "largest norm": ([[3, 4]], lambda a: torch.amax(a.abs(), 1)),
    "cumsum": ([[3, 4]], lambda a: torch.cumsum(a * a, 1)),
    "cumsum from the end, of those before": ([[3, 4]], lambda a: torch.cumsum((a * a).flip(0), 0).flip(0) - a * a),
    "cumprod": ([[3, 4]], lambda a: torch.cumprod(a * 2, 1)),
    "cumprod with zeros": ([[2, 4]], lambda a: torch.cumprod(a - a.detach() + torch.tensor([[2.0, 0, 3, 2], [0, 1, 0, 2]]), 1)),
    "cumprod from the end, of those before": (
        [[4, 2]],
        lambda a: torch.cat([torch.cumprod((a + 1.5).flip(0), 0).flip(0)[1:], torch.ones(1, 2)]),
    ),
    "cummax": ([[3, 5]], lambda a: torch.cummax(a * a, 1).values),
    "cummin from the end": ([[5, 2]], lambda a: torch.cummin((a * a).flip(0), 0).values.flip(0)),
    "linearScan": ([[2, 5], [2, 5]], linear_scan),
    "sort": ([[3, 5]], lambda a: torch.sort(a * a, 1).values),
    "sort descending": ([[5, 2]], lambda a: torch.sort(a * a, 0, descending=True).values),
    "topK": ([[3, 5]], lambda a: torch.topk(torch.exp(a), 2).values),
    "take": ([[4, 3]], lambda a: (a * a)[torch.tensor([[3, 0], [3, 1]])]),
    "takeAlongAxis": ([[3, 4]], lambda a: torch.gather(a * a, 1, PLACES)),
    "gather": ([[3, 2, 2]], lambda a: (a * a)[SPOTS[:, 0], SPOTS[:, 1]]),
    "scatter add": ([[3, 2, 2], [4, 2]], lambda x, u: scatter_at(x * x, u * u, True)),
    "scatter set": ([[3, 4], [3]], lambda x, u: (x * x).index_put((torch.arange(3), torch.arange(3)), u * u)),
    "scatter max": ([[3, 4], [3, 3]], lambda x, u: scatter_reduce(x * x, u * u, "amax")),
    "scatter min": ([[3, 4], [3, 3]], lambda x, u: scatter_reduce(x * x, u * u, "amin")),
    "scatter mul": ([[3, 4]], lambda x: scatter_reduce(x * x, fill([3, 3], 30), "prod")),
    "unique places": ([[3, 4], [3, 3]], lambda x, u: (x * x).scatter(1, torch.tensor([[1, 3, 0], [2, 0, 1], [3, 2, 0]]), u * u)),
    "slice with steps": ([[5, 6]], lambda a: (a * a)[1::2, 1:5:3]),
    "slice from the end": ([[5, 6]], lambda a: (a * a).flip(1)[:, 0:5:2]),
    "flip": ([[3, 4]], lambda a: (a * a).flip(0, 1)),
    "roll": ([[3, 4]], lambda a: torch.roll(a * a, 1, 1)),
    "tile": ([[2, 3]], lambda a: torch.tile(a * a, (2, 2, 1))),
    "repeat": ([[2, 3]], lambda a: torch.repeat_interleave(a * a, 3, 1)),
    "stack": ([[2, 3], [2, 3]], lambda a, b: torch.stack([a, b * b, a], 1)),
    "split": ([[2, 6]], lambda a: torch.split(a * a, 2, 1)[1]),
    "squeeze": ([[2, 1, 3]], lambda a: (a * a).squeeze(1).unsqueeze(0)),
    "diagonal": ([[2, 3, 4]], lambda a: torch.diagonal(a * a, 1, 1, 2)),
    "tril": ([[3, 4]], lambda a: torch.tril(a * a, 1)),
    "pad with a number": ([[2, 3]], lambda a: F.pad(a * a, (1, 0, 0, 2), value=2.0)),
    "pad reflected": ([[3, 4]], lambda a: F.pad((a * a)[None], (2, 1), "reflect")[0]),
    "pad at the edge": ([[3, 4]], lambda a: F.pad((a * a)[None], (2, 1), "replicate")[0]),
    "windows": ([[7, 2]], lambda a: (a * a).unfold(0, 3, 2)),
    "dot": ([[2, 3], [4, 3, 2]], lambda a, b: torch.einsum("ij,kjl->ikl", a, b)),
    "outer": ([[3], [2]], torch.outer),
    "tensordot": ([[2, 3, 4], [4, 2, 3]], lambda a, b: torch.tensordot(a, b, ([2, 0], [0, 1]))),
    "matmul broadcast": ([[2, 1, 2, 3], [3, 3, 2]], lambda a, b: a @ b),
    "matmul of a vector": ([[3], [2, 3, 2]], lambda a, b: a @ b),
    "einsum": ([[2, 3], [3, 4, 2], [4, 2]], lambda a, b, c: torch.einsum("ij,jkl,kl->ki", a, b, c)),
    "einsum of a diagonal": ([[3, 3], [3]], lambda a, b: torch.einsum("ii,i->i", a, b)),
    "maxPool": ([[1, 5, 5, 2]], last(lambda x: F.max_pool2d(x * x, 3, 2, 1))),
    "avgPool": ([[1, 5, 4, 2]], last(lambda x: F.avg_pool2d(x * x, 2, 2, 1, count_include_pad=False))),
    "avgPool with its padding": ([[1, 5, 2]], last(lambda x: F.avg_pool1d(x * x, 3, 2, 1))),
    "adaptiveAvgPool": ([[1, 5, 4, 1]], last(lambda x: F.adaptive_avg_pool2d(x * x, (3, 2)))),
    "resize": ([[1, 3, 4, 2]], last(lambda x: F.interpolate(x * x, (5, 2), mode="bilinear", antialias=True))),
    "resize cubic": ([[1, 4, 3, 1]], last(lambda x: F.interpolate(x * x, (5, 6), mode="bicubic", align_corners=True))),
    "batchNorm": ([[3, 2, 2], [2], [2]], batch_norm),
    "instanceNorm": ([[2, 4, 2], [2], [2]], lambda x, g, b: norm(x, (1,), 1e-5) * g + b),
    "rmsNorm": ([[3, 4], [4]], rms_norm),
    "normalize": ([[3, 4]], lambda x: F.normalize(x, dim=-1)),
    "localResponseNorm": ([[1, 2, 6]], last(lambda x: F.local_response_norm(x, 3, 0.5))),
    "attention of groups": ([[1, 3, 4, 2], [1, 2, 2, 2], [1, 2, 2, 2]], grouped_attention),
    "attention of wider values": ([[1, 3, 1, 2], [1, 2, 1, 2], [1, 2, 1, 3]], attend),
    "attention with a window and a cap": ([[1, 3, 4, 2], [1, 3, 2, 2], [1, 3, 2, 3]], masked_attention),
    "mseLoss": ([[3, 4], [3, 4]], F.mse_loss),
    "l1Loss": ([[3, 4], [3, 4]], F.l1_loss),
    "huberLoss": ([[3, 4], [3, 4]], lambda a, b: F.huber_loss(a * 3, b, delta=0.7)),
    "bceWithLogits": ([[3, 4]], lambda a: F.binary_cross_entropy_with_logits(a * 3, fill([3, 4], 31) ** 2, pos_weight=torch.tensor([2.0]))),
    "crossEntropy": ([[3, 4]], lambda a: F.cross_entropy(a * 3, LABELS, torch.tensor([1, 2, 0.5, 1]), label_smoothing=0.1)),
    "crossEntropy of probabilities": ([[3, 4], [3, 4]], lambda a, b: F.cross_entropy(a * 3, b.softmax(-1))),
    "nllLoss": ([[3, 4]], lambda a: F.nll_loss(a.log_softmax(-1), LABELS, ignore_index=0, reduction="sum")),
    "klDivergence": ([[3, 4], [3, 4]], lambda a, b: F.kl_div(a.log_softmax(-1), b.softmax(-1), reduction="sum")),
    "cosineSimilarity": ([[3, 4], [3, 4]], F.cosine_similarity),
    "dropout of nothing": ([[3, 4]], lambda a: a * a),
    "conv of a row": ([[1, 2, 6], [2, 2, 3]], lambda x, w: F.conv1d(x, w, stride=2, dilation=2, padding=1)),
    "conv in groups": (
        [[1, 4, 5, 4], [3, 2, 2, 2]],
        lambda x, w: last(lambda t: F.conv2d(t, w.permute(3, 2, 0, 1), stride=(2, 1), padding=1, groups=2))(x),
    ),
    "conv of each channel": (
        [[1, 4, 4, 2], [3, 3, 1, 2]],
        lambda x, w: last(lambda t: F.conv2d(t, w.permute(3, 2, 0, 1), padding=1, groups=2))(x),
    ),
    "conv in three dimensions": ([[1, 2, 3, 3, 2], [2, 2, 2, 2, 2]], lambda x, w: F.conv3d(x, w, stride=(1, 1, 1), padding=(1, 0, 0))),
    "convTranspose": (
        [[1, 2, 3, 2], [2, 2, 3, 2]],
        lambda x, w: F.conv_transpose2d(x, w, stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    ),
    "convTranspose in groups": ([[1, 4, 3], [4, 1, 2]], lambda x, w: F.conv_transpose1d(x, w, stride=2, groups=2)),
})


# Images at places, signals, quantized numbers, sequences: see `tests/second_derivatives_wide.ts`.
def reflected(p, n, corners):
    low, span = (0, n - 1) if corners else (-0.5, n)
    return span - (span - torch.remainder(p - low, 2 * span)).abs() + low


KERNELS = {
    "nearest": lambda t: [(0, torch.ones_like(t))],
    "linear": lambda t: [(0, 1 - t), (1, t)],
    "cubic": lambda t: [
        (-1, -0.75 * t**3 + 1.5 * t**2 - 0.75 * t),
        (0, 1.25 * t**3 - 2.25 * t**2 + 1),
        (1, -1.25 * t**3 + 1.5 * t**2 + 0.75 * t),
        (2, 0.75 * t**3 - 0.75 * t**2),
    ],
}


def at_places(x, places, method, outside, corners=False):
    """x [V…, C] at places, a tensor [N] for each dimension, by definition: PyTorch's own has no second derivative."""
    taps = []
    for p, n in zip(places, x.shape):
        fold = lambda q: (reflected(q, n, corners) if outside == "reflect" else q).clamp(0, n - 1)
        if outside != "zeros" and method != "cubic":
            p = fold(p)
        base = p.round() if method == "nearest" else p.floor()
        each = []
        for step, w in KERNELS[method](p - base):
            q = base + step
            inside = (q >= 0) & (q < n)
            each.append((fold(q).detach().long(), torch.where(inside, w, 0) if outside == "zeros" else w))
        taps.append(each)
    y = 0
    for chosen in itertools.product(*taps):
        y = y + math.prod(w for _, w in chosen)[:, None] * x[tuple(i for i, _ in chosen)]
    return y


def grid_sample(x, grid, method="linear", outside="zeros", corners=False):
    out = []
    for image, g in zip(x, grid):
        extents = image.shape[:-1]
        p = [g[..., -1 - i].flatten() for i in range(len(extents))]
        p = [(q + 1) / 2 * (n - 1) if corners else ((q + 1) * n - 1) / 2 for q, n in zip(p, extents)]
        out.append(at_places(image, p, method, outside, corners).reshape(*g.shape[:-1], -1))
    y = torch.stack(out)
    mode, pad = {"linear": "bilinear", "cubic": "bicubic"}.get(method, method), {"edge": "border", "reflect": "reflection"}
    known = F.grid_sample(x.movedim(-1, 1), grid, mode, pad.get(outside, outside), corners).movedim(1, -1)
    torch.testing.assert_close(y, known)
    return y


IMAGES = torch.tensor([1, 0])


def roi_align(x, boxes, size=(2, 2), samples=2, scale=2.0):
    """By definition (torchvision's has no second derivative)."""
    out = []
    for box, image in zip(boxes * scale - 0.5, x[IMAGES]):
        axes = []
        for i, (n, d) in enumerate(zip(size, image.shape)):
            lo, hi = box[1 - i], box[3 - i]
            axes.append(lo + (hi - lo) * (torch.arange(n * samples) + 0.5) / (n * samples))
        y, z = torch.meshgrid(*axes, indexing="ij")
        beyond = (y < -1) | (y > image.shape[0]) | (z < -1) | (z > image.shape[1])
        read = at_places(image, [y.flatten(), z.flatten()], "linear", "edge")
        read = torch.where(beyond.flatten()[:, None], 0, read)
        out.append(read.reshape(size[0], samples, size[1], samples, -1).mean((1, 3)))
    return torch.stack(out)


def deform_conv(x, offset, w, mask):
    """Windows of 2 × 2, padding 1, stride 2, two parts of the channels."""
    b, h, wide, c = x.shape
    parts, (oh, ow) = 2, offset.shape[1:3]
    o = offset.reshape(b, oh, ow, parts, 2, 2, 2)
    m = mask.reshape(b, oh, ow, parts, 2, 2)
    grid = torch.stack(torch.meshgrid(torch.arange(oh) * 2 - 1, torch.arange(ow) * 2 - 1, indexing="ij"), -1)
    window = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij"), -1)
    places = grid[:, :, None, None, None] + window + o
    columns = []
    for k in range(parts):
        channels = slice(k * c // parts, (k + 1) * c // parts)
        rows = []
        for i in range(b):
            p = places[i, :, :, k].reshape(-1, 2)
            read = at_places(x[i, :, :, channels], [p[:, 0], p[:, 1]], "linear", "zeros")
            rows.append(read.reshape(oh, ow, 2, 2, -1) * m[i, :, :, k][..., None])
        columns.append(torch.stack(rows))
    return torch.einsum("bhwyxc,yxco->bhwo", torch.cat(columns, -1), w)


def complex_of(f):
    return lambda a: torch.view_as_real(f(torch.view_as_complex(a.contiguous())))


def overlapped(z):
    """Frames of 4 every 2 by the definition: torch.istft wants centred frames."""
    w = torch.hann_window(4)
    frames = torch.fft.irfft(torch.view_as_complex(z.contiguous()), 4) * w
    at = torch.arange(4) + 2 * torch.arange(3)[:, None]
    whole = torch.zeros(8).index_put((at.flatten(),), frames.flatten(), accumulate=True)
    weight = torch.zeros(8).index_put((at.flatten(),), (w * w).expand(3, 4).flatten(), accumulate=True)
    return torch.where(weight < 1e-11, 0, whole / torch.where(weight < 1e-11, 1, weight))


def rotary(x, angle, interleaved):
    c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    part, rest = x[..., :4], x[..., 4:]
    p, q = (part[..., ::2], part[..., 1::2]) if interleaved else part.chunk(2, -1)
    both = [p * c - q * s, q * c + p * s]
    y = torch.stack(both, -1).flatten(-2) if interleaved else torch.cat(both, -1)
    return torch.cat([y, rest], -1)


def linear_attention(q, k, v, decay=None, beta=None):
    """[B, T, H, D] step by step; both the results and the last state take part."""
    k, v = (t.repeat_interleave(q.shape[2] // t.shape[2], 2) for t in (k, v))
    state, ys = 0, []
    for i in range(q.shape[1]):
        if decay is not None:
            state = torch.exp(decay[:, i])[..., None] * state
        u = v[:, i]
        if beta is not None:
            u = beta[:, i][..., None] * (u - torch.einsum("bhde,bhd->bhe", state + 0 * k[:, i][..., None] * u[..., None, :], k[:, i]))
        state = state + k[:, i][..., None] * u[..., None, :]
        ys.append(torch.einsum("bhd,bhde->bhe", q[:, i], state) / math.sqrt(q.shape[-1]))
    return torch.stack(ys, 1) + state.mean()


def modified_attention(q, k, v):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    i, j = torch.arange(3)[:, None], torch.arange(3)[None]
    scores = torch.where(i >= j, q @ k.transpose(-1, -2) / math.sqrt(2) * (1 + i - j), -math.inf)
    return (scores.softmax(-1) ** 2 @ v).transpose(1, 2)


def straight(y, x):
    return x + (y - x).detach()


def fake_quantize(a):
    steps = (a * 16).round()
    inside = (steps >= -8) & (steps <= 7)
    return torch.where(inside, straight(steps / 16, a), (steps.clamp(-8, 7) / 16).detach())


CASES.update({
    "gridSample": ([[2, 3, 4, 2], [2, 1, 3, 2]], grid_sample),
    "gridSample cubic": ([[1, 3, 2, 1], [1, 2, 1, 2]], lambda x, g: grid_sample(x, g * 1.3, "cubic", "edge", True)),
    "gridSample reflected": ([[1, 5, 3, 1], [1, 4, 1, 2]], lambda x, g: grid_sample(x, g * 2.2, "linear", "reflect")),
    "affineGrid": ([[2, 2, 3]], lambda t: F.affine_grid(t * t, [2, 1, 2, 3], False)),
    "roiAlign": ([[2, 3, 4, 2], [2, 4]], lambda x, b: roi_align(x, b + torch.tensor([0.25, 0.375, 1.625, 1.75]))),
    "deformConv": ([[1, 3, 3, 2], [1, 2, 2, 16], [2, 2, 2, 1], [1, 2, 2, 8]], deform_conv),
    "unfold": (
        [[1, 4, 3, 2]],
        lambda x: F.unfold((x * x).movedim(-1, 1), (2, 3), padding=1, stride=2).unflatten(1, (2, 6)).transpose(1, 2).flatten(1, 2).mT,
    ),
    "fold": ([[1, 8, 4]], lambda x: F.fold(x * x, (3, 3), (2, 2), padding=1, stride=2)),
    "depthToSpace": ([[1, 1, 2, 8]], last(lambda x: F.pixel_shuffle(x * x, 2))),
    "spaceToDepth": ([[1, 2, 4, 2]], last(lambda x: F.pixel_unshuffle(x * x, 2))),
    "centerCrop": ([[5, 2]], lambda a: F.pad((a * a)[1:4], (0, 1))),
    "dynamicSlice": ([[4, 3]], lambda a: (a * a)[1:3, 1:3]),
    "dynamicUpdateSlice": ([[4, 3], [2, 2]], lambda a, u: torch.cat([(a * a)[:1], torch.cat([(a * a)[1:3, :1], u * u], 1), (a * a)[3:]])),
    "lpPool": ([[1, 5, 2]], lambda a: (a.movedim(-1, 1).unfold(-1, 2, 1).abs() ** 3).sum(-1).pow(1 / 3).movedim(1, -1)),
    "maxUnpool": ([[1, 2, 2, 1]], lambda a: last(lambda x: F.max_unpool2d(x * x, torch.tensor([[[[1, 2], [8, 11]]]]), 2, output_size=(3, 4)))(a)),
    "fft": ([[2, 6, 2]], complex_of(lambda z: torch.fft.fft(z * z))),
    "ifft": ([[5, 2, 2]], complex_of(lambda z: torch.fft.ifft(z * z, dim=0))),
    "rfft": ([[2, 5]], lambda a: torch.view_as_real(torch.fft.rfft(a * a))),
    "irfft": ([[2, 3, 2]], lambda a: torch.fft.irfft(torch.view_as_complex(a * a), 5)),
    "stft": ([[7]], lambda a: torch.view_as_real(torch.fft.rfft((a * a).unfold(0, 4, 2) * torch.hann_window(4)))),
    "istft": ([[3, 3, 2]], overlapped),
    "causalConv1d": ([[1, 4, 2], [3, 1, 2], [1, 2, 2]], lambda x, w, s: F.conv1d(torch.cat([s, x], 1).mT, w.permute(2, 1, 0), groups=2).mT),
    "rotaryEmbedding": ([[1, 3, 2, 6], [3, 2]], lambda x, a: rotary(x, a, False)),
    "rotaryEmbedding of neighbours": ([[1, 3, 1, 4], [3, 2]], lambda x, a: rotary(x * x, a, True)),
    "attention with functions of scores": ([[1, 3, 2, 2], [1, 3, 2, 2], [1, 3, 2, 3]], modified_attention),
    "linearAttention": ([[1, 3, 2, 2], [1, 3, 1, 2], [1, 3, 1, 3]], linear_attention),
    "linearAttention, gated": (
        [[1, 3, 1, 2], [1, 3, 1, 2], [1, 3, 1, 1], [1, 3, 1, 2]],
        lambda q, k, v, g: linear_attention(q, k, v, -g * g),
    ),
    "linearAttention by the delta rule": (
        [[1, 3, 1, 2], [1, 3, 1, 2], [1, 3, 1, 1], [1, 3, 1], [1, 3, 1]],
        lambda q, k, v, g, b: linear_attention(q, k, v, (-g * g)[..., None], b),
    ),
    "threshold": ([[6]], lambda a: F.threshold(a * a, 0.25, 0.5)),
    "standardize": ([[3, 4]], lambda a: norm(a, (0, 1), 1e-5)),
    "hardmax": ([[3, 4]], lambda a: a * F.one_hot(a.argmax(-1), 4)),
    "reducePrecision": ([[6]], lambda a: straight((a * 3).to(torch.float8_e4m3fn).double(), a * 3)),
    "fakeQuantize": ([[6]], fake_quantize),
})


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
