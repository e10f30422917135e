"""The cases' functions in PyTorch; `pytorch.py` calls them. Images are NCHW, kernels OIHW."""
import torch
import torch.nn.functional as F

RATE, LAYERS, HEADS = 0.1, 2, 4
DATA = ("x", "t", "ids")


def mlp_grad(x, y, **parameters):
    for p in parameters.values():
        p.requires_grad_(True)
    w1, b1, w2, b2 = (parameters[name] for name in ("w1", "b1", "w2", "b2"))

    def gradient():
        loss = (((x @ w1 + b1).relu() @ w2 + b2 - y) ** 2).mean()
        return torch.autograd.grad(loss, [w1, b1, w2, b2])

    return gradient


def trained(loss):
    """A step of training: the loss, then the new parameters in the order of the operands."""

    def prepared(**operands):
        data = {name: v for name, v in operands.items() if name in DATA}
        before = {name: v.requires_grad_(True) for name, v in operands.items() if name not in DATA}

        def step():
            value = loss(before, **data)
            grads = torch.autograd.grad(value, list(before.values()))
            with torch.no_grad():
                return [value.detach(), *(p - RATE * g for p, g in zip(before.values(), grads))]

        return step

    return prepared


def cross_entropy(logits, t):
    return -(t * logits.log_softmax(-1)).sum(-1).mean()


def mlp(p, x, t):
    hidden = ((x @ p["w1"] + p["b1"]).relu() @ p["w2"] + p["b2"]).relu()
    return cross_entropy(hidden @ p["w3"] + p["b3"], t)


def cnn(p, x, t):
    for w, b in (("w1", "b1"), ("w2", "b2")):
        x = F.max_pool2d(F.conv2d(x, p[w], p[b], padding=1).relu(), 2)
    return cross_entropy(x.mean((2, 3)) @ p["w3"] + p["b3"], t)


def transformer(p, ids, t):
    x = p["tokens"][ids] + p["places"]
    batch, tokens, width = x.shape
    heads = lambda x: x.view(batch, tokens, HEADS, width // HEADS).transpose(1, 2)
    for i in range(LAYERS):
        w = lambda name: p[f"{i}.{name}"]
        h = F.layer_norm(x, (width,), w("g1"), w("b1"))
        y = F.scaled_dot_product_attention(*(heads(h @ w(name)) for name in "qkv"), is_causal=True)
        x = x + y.transpose(1, 2).reshape(x.shape) @ w("o")
        x = x + F.gelu(F.layer_norm(x, (width,), w("g2"), w("b2")) @ w("w1"), approximate="tanh") @ w("w2")
    return cross_entropy(x @ p["tokens"].T, t)


def attention(q, k, v):
    y = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
    return y.transpose(1, 2).contiguous()


# Functions of operands that give one result.
ONE = {
    "matmul-512": lambda a, b: a @ b,
    "matmul-1024": lambda a, b: a @ b,
    "matmul-batch": lambda a, b: a @ b,
    "conv2d": lambda x, w: F.conv2d(x, w, padding=1),
    "conv2d-stride": lambda x, w: F.conv2d(x, w, padding=1, stride=2),
    "conv2d-depthwise": lambda x, w: F.conv2d(x, w, padding=1, groups=x.shape[1]),
    "attention": attention,
    "softmax": lambda x: x.softmax(-1),
    "layernorm": lambda x, g, b: F.layer_norm(x, (x.shape[-1],), g, b, 1e-5),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "add": lambda x, b: x + b,
    "mean": lambda x: x.mean(0),
    "max": lambda x: x.amax(-1),
    "argmax": lambda x: x.argmax(-1),
    "topk": lambda x: x.topk(10).values,
    "cumsum": lambda x: x.cumsum(-1),
    "transpose": lambda x: x.T.contiguous(),
    "gather": lambda x, ids: x[ids],
    "maxpool": lambda x: F.max_pool2d(x, 2),
    "concat": lambda a, b: torch.cat([a, b], 1),
}

# Functions of operands that give a function.
OTHERS = {
    "mlp-grad": mlp_grad,
    "train-mlp": trained(mlp),
    "train-cnn": trained(cnn),
    "train-transformer": trained(transformer),
}


def prepared(name, operands):
    if name in OTHERS:
        return OTHERS[name](**operands)
    return lambda: [ONE[name](**operands)]
