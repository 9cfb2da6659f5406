"""Log-likelihoods of all answers: one pass over the prompt, then one over the tree of answers with a tree mask.

Every node of the tree attends to the prompt and to its own ancestors, so shared beginnings are computed once and no
cache is copied. `naive` computes the same with a full pass per answer, as a check.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from secondlook.base.arrays import Floats64
from secondlook.models.trie import ROOT, Trie

if TYPE_CHECKING:
    import torch

Inputs = dict[str, Any]
# what a processor returns for each token besides its id; the tokens of an answer need none of it
_TOKEN_KINDS = ("token_type_ids", "mm_token_type_ids")
_MOST_BYTES = 2**28


def edge_log_p(model: Any, inputs: Inputs, trie: Trie) -> Floats64:
    """Return log P(token | image, prompt, steps before) of every edge of the tree, (images, edges)."""
    import torch

    prompt = model(**inputs, use_cache=True, logits_to_keep=1)
    root = torch.from_numpy(trie.edge_from == ROOT)
    log_p = torch.zeros(len(inputs["input_ids"]), len(trie.edge_from), dtype=torch.float64)
    tokens = torch.from_numpy(trie.edge_token)
    log_p[:, root] = _log_p(prompt.logits, torch.zeros(int(root.sum()), dtype=torch.int64), tokens[root])
    if len(trie.tokens):
        logits = _tree_pass(model, inputs, trie, prompt.past_key_values)
        nodes = torch.from_numpy(trie.edge_from[trie.edge_from != ROOT])
        log_p[:, ~root] = _log_p(logits, nodes, tokens[~root])
    return np.asarray(log_p.numpy())


def naive(model: Any, inputs: Inputs, trie: Trie) -> Floats64:
    """Return the same as `edge_log_p` by a full forward pass per answer."""
    import torch

    log_p = np.zeros((len(inputs["input_ids"]), len(trie.edge_from)))
    for steps in trie.steps:
        edges = np.flatnonzero(steps)
        tokens = torch.from_numpy(trie.edge_token[edges])
        logits = model(**_extended(inputs, tokens)).logits[:, -len(edges) - 1 : -1]
        log_p[:, edges] = _log_p(logits, torch.arange(len(edges)), tokens).numpy()
    return log_p


def _tree_pass(model: Any, inputs: Inputs, trie: Trie, cache: Any) -> "torch.Tensor":
    import torch

    images, device = inputs["input_ids"].shape[0], inputs["input_ids"].device
    tokens = torch.from_numpy(trie.tokens).to(device).expand(images, -1)
    passed = model(
        input_ids=tokens,
        attention_mask=_masks(model, inputs["attention_mask"], trie),
        position_ids=_positions(model, inputs["attention_mask"], trie),
        past_key_values=cache,
        use_cache=True,
    )
    logits: torch.Tensor = passed.logits
    return logits


def _positions(model: Any, attention_mask: "torch.Tensor", trie: Trie) -> "torch.Tensor":
    """Return the position of every node, (images, nodes), or (3, images, nodes) for multimodal rotary positions.

    Plain rotary models count the padding. Multimodal ones count valid tokens and shift them by what their images
    took less than one position per token (`rope_deltas`).
    """
    import torch

    depth = torch.from_numpy(trie.depth).to(attention_mask.device)[None] - 1
    deltas = getattr(model.model, "rope_deltas", None)
    if deltas is None:
        return depth.expand(len(attention_mask), -1) + attention_mask.shape[1]
    valid = attention_mask.sum(dim=1, keepdim=True) + deltas.to(attention_mask.device).reshape(-1, 1)
    positions: torch.Tensor = (depth + valid).expand(3, -1, -1)
    return positions


def _masks(model: Any, attention_mask: "torch.Tensor", trie: Trie) -> Any:
    """Return the additive mask (images, 1, nodes, prompt + nodes), one per kind of layer where there are several."""
    import torch

    text = model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    prompt = attention_mask.bool()[:, None, :].expand(-1, len(trie.tokens), -1)
    sees = torch.from_numpy(trie.sees).to(prompt.device).expand(len(prompt), -1, -1)
    full = _additive(torch.cat([prompt, sees], dim=2), model.dtype)
    if kinds == {"full_attention"}:
        return full
    masks = {"full_attention": full}
    if "sliding_attention" in kinds:
        masks["sliding_attention"] = _sliding(prompt, sees, trie, text.sliding_window, model.dtype)
    return masks


def _sliding(
    prompt: "torch.Tensor", sees: "torch.Tensor", trie: Trie, window: int, dtype: "torch.dtype"
) -> "torch.Tensor":
    """Return the mask of layers that see `window` tokens; their cache holds the last `window` - 1 of the prompt."""
    import torch

    kept = min(prompt.shape[2], window - 1)
    depth = torch.from_numpy(trie.depth).to(prompt.device)
    behind = depth[:, None] + torch.arange(kept - 1, -1, -1, device=prompt.device)[None, :]
    near = prompt[:, :, prompt.shape[2] - kept :] & (behind < window)[None]
    among = sees & ((depth[:, None] - depth[None, :]) < window)[None]
    return _additive(torch.cat([near, among], dim=2), dtype)


def _additive(visible: "torch.Tensor", dtype: "torch.dtype") -> "torch.Tensor":
    import torch

    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]


def _extended(inputs: Inputs, tokens: "torch.Tensor") -> Inputs:
    import torch

    ids = inputs["input_ids"]
    more = tokens.to(ids.device).expand(len(ids), -1)
    longer = {**inputs, "input_ids": torch.cat([ids, more], dim=1)}
    longer["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(more)], dim=1)
    for name in _TOKEN_KINDS:
        if name in inputs:
            longer[name] = torch.cat([inputs[name], torch.zeros_like(more)], dim=1)
    return longer


def _log_p(logits: "torch.Tensor", nodes: "torch.Tensor", tokens: "torch.Tensor") -> "torch.Tensor":
    """Return log P of `tokens` (edges,) after `nodes` (edges,), (images, edges).

    As many images at a time as fit into `_MOST_BYTES` in float32, which is what a large vocabulary needs.
    """
    import torch

    nodes, tokens = nodes.to(logits.device), tokens.to(logits.device)
    size = max(1, _MOST_BYTES // (4 * logits[0].numel()))
    parts = []
    for start in range(0, len(logits), size):
        scores = logits[start : start + size].float()
        parts.append(scores[:, nodes, tokens] - scores.logsumexp(dim=-1)[:, nodes])
    return torch.cat(parts).cpu().double()
