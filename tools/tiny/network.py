"""Qwen2-VL in plain torch, small and fast to train on a CPU (needs torch).

Law: the mathematics and the parameter names (`visual.*`, `model.*`) are those of
Qwen2VLForConditionalGeneration; a checkpoint of this module loads there unchanged. The two temporal
copies of a still picture are equal, so the patch weights are summed over time instead.
Shapes: B rows, N patches, T tokens.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody knows)
from torch import Tensor, nn

from tools.tiny import hub

BLOCKS = 4
RESIDUAL_OUTPUTS = ("o_proj", "down_proj", "attn.proj", "fc2")
Rotation = tuple[Tensor, Tensor]  # cosines and sines, broadcastable to (B, heads, T, head_width)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotary position embedding: turn the two halves of `x` against each other."""
    cos, sin = rotation
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class VisionAttention(nn.Module):
    """Full attention over the patches of one picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        """(B, N, width) to the same."""
        rows, patches, width = x.shape
        split = self.qkv(x).view(rows, patches, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (B, heads, N, head_width) each
        query, key = rotate(query, rotation).to(value.dtype), rotate(key, rotation).to(value.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(rows, patches, width))


class VisionMlp(nn.Module):
    """Two layers with a quick GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same."""
        hidden = self.fc1(x)
        return self.fc2(hidden * torch.sigmoid(1.702 * hidden))  # quick GELU


class VisionBlock(nn.Module):
    """One layer of the vision encoder."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.attn = VisionAttention(width, heads)
        self.mlp = VisionMlp(width)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        """(B, N, width) to the same."""
        x = x + self.attn(self.norm1(x), rotation)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Linear map of a patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        kernel = (2, hub.PATCH_PX, hub.PATCH_PX)
        self.proj = nn.Conv3d(3, width, kernel, kernel, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, N, 588) to (B, N, width)."""
        return F.linear(patches, self.proj.weight.sum(2).flatten(1))


class Merger(nn.Module):
    """Four neighbouring patches become one image token."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.ln_q = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(4 * width, 4 * width), nn.GELU(), nn.Linear(4 * width, out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to (B, N / 4, out)."""
        rows, patches, width = x.shape
        return self.mlp(self.ln_q(x).reshape(rows, patches // 4, 4 * width))


class VisionEncoder(nn.Module):
    """Patches to image tokens."""

    def __init__(self, shape: hub.Shape) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(shape.vision_width)
        self.blocks = nn.ModuleList(
            VisionBlock(shape.vision_width, shape.vision_heads) for _ in range(shape.vision_layers)
        )
        self.merger = Merger(shape.vision_width, shape.width)

    def forward(self, patches: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, N, 588) to (B, N / 4, width)."""
        x = self.patch_embed(patches)  # (B, N, vision_width)
        for block in self.blocks:
            x = block(x, (cos, sin))
        return self.merger(x)  # (B, N / 4, width)


class RmsNorm(nn.Module):
    """Root-mean-square norm in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        x = x.float()
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Attention(nn.Module):
    """Grouped-query attention.

    The scores of a quarter of the queries are computed at a time, over the keys up to its end only:
    a mask is at most causal. Compiled, this costs half of what the library's attention does on a
    CPU, whose backward pass is slow.
    """

    def __init__(self, shape: hub.Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.width)
        self.k_proj = nn.Linear(shape.width, kv_width)
        self.v_proj = nn.Linear(shape.width, kv_width)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor) -> Tensor:
        """(B, T, width) to the same; `mask` (B, 1, T, T) is added to the scores."""
        rows, tokens, width = x.shape
        kv_heads, head_width = self.shape.kv_heads, self.shape.head_width
        group = self.shape.heads // kv_heads

        def heads(projected: Tensor) -> Tensor:
            return projected.view(rows, tokens, -1, head_width).transpose(1, 2)

        value = heads(self.v_proj(x))
        query = rotate(heads(self.q_proj(x)), rotation).to(value.dtype) * head_width**-0.5
        key = rotate(heads(self.k_proj(x)), rotation).to(value.dtype)
        query = query.reshape(rows * kv_heads, group, tokens, head_width)
        key = key.reshape(rows * kv_heads, tokens, head_width)
        value = value.reshape(rows * kv_heads, tokens, head_width)
        step = tokens // BLOCKS if tokens % BLOCKS == 0 else tokens
        mixed = []
        for begin in range(0, tokens, step):
            end = begin + step
            asking = query[:, :, begin:end].reshape(rows * kv_heads, group * step, head_width)
            scores = torch.bmm(asking, key[:, :end].transpose(1, 2))
            scores = scores.view(rows, kv_heads, group, step, end)
            scores = scores + mask[:, :, None, begin:end, :end]
            shares = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
            shares = shares.view(rows * kv_heads, group * step, end)
            heard = torch.bmm(shares, value[:, :end])  # (B * kv_heads, group * step, head_width)
            mixed.append(heard.view(rows, kv_heads * group, step, head_width))
        return self.o_proj(torch.cat(mixed, 2).transpose(1, 2).reshape(rows, tokens, width))


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: hub.Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.down_proj = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """One layer of the language model."""

    def __init__(self, shape: hub.Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Mlp(shape)
        self.input_layernorm = RmsNorm(shape.width)
        self.post_attention_layernorm = RmsNorm(shape.width)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor) -> Tensor:
        """(B, T, width) to the same."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class LanguageModel(nn.Module):
    """Embeddings and layers; logits come from the tied embeddings."""

    def __init__(self, shape: hub.Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(hub.VOCAB_SIZE, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Embedded tokens (B, T, width) to normalised states (B, T, width)."""
        for layer in self.layers:
            x = layer(x, (cos, sin), mask)
        return self.norm(x)  # (B, T, width)


class TinyQwen2VL(nn.Module):
    """Vision encoder and language model under their hub names."""

    def __init__(self, shape: hub.Shape) -> None:
        super().__init__()
        self.shape = shape
        self.visual = VisionEncoder(shape)
        self.model = LanguageModel(shape)
        self._initialise()
        self._vision_rotations: dict[tuple[int, int], Rotation] = {}

    def _initialise(self) -> None:
        """Fan-in scaling; outputs onto the residual stream are smaller the deeper the stack."""
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                continue
            std = 0.7 / math.sqrt(weight[0].numel())
            if "embed_tokens" in name:
                std = 0.05
            elif any(part in name for part in RESIDUAL_OUTPUTS):
                layers = self.shape.vision_layers if "visual" in name else self.shape.layers
                std /= math.sqrt(2 * layers)
            nn.init.normal_(weight, std=std)

    def vision_rotation(self, rows: int, columns: int) -> Rotation:
        """2-D rotary table of a patch grid in merge order: (N, head_width) each."""
        if (rows, columns) not in self._vision_rotations:
            quarter = self.shape.vision_width // self.shape.vision_heads // 2
            inverse = 10000.0 ** -(torch.arange(0, quarter, 2) / quarter)
            ys, xs = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            angles = []
            for axis in (ys, xs):
                merged = axis.reshape(rows // 2, 2, columns // 2, 2).permute(0, 2, 1, 3).flatten()
                angles.append(merged[:, None] * inverse)
            table = torch.cat(angles * 2, -1)
            self._vision_rotations[rows, columns] = table.cos(), table.sin()
        return self._vision_rotations[rows, columns]

    def rotation(self, positions: Tensor) -> Rotation:
        """M-RoPE table of (3, B, T) positions: (B, 1, T, head_width) each."""
        width = self.shape.head_width
        inverse = self.shape.rope_theta ** -(torch.arange(0, width, 2) / width)
        parts = (positions[..., None] * inverse).split(list(self.shape.mrope_section), -1)
        half = torch.cat([part[axis] for axis, part in enumerate(parts)], -1)
        table = torch.cat((half, half), -1)[:, None]
        return table.cos(), table.sin()


def patchify(images: Tensor) -> tuple[Tensor, int, int]:
    """(B, height, width, 3) uint8 to normalised patches in merge order (B, N, 588) and the grid."""
    mean, std = torch.tensor(hub.IMAGE_MEAN), torch.tensor(hub.IMAGE_STD)
    pixels = (images.float() / 255 - mean) / std
    count, height, width, _ = pixels.shape
    rows, columns, side = height // hub.PATCH_PX, width // hub.PATCH_PX, hub.PATCH_PX
    split = pixels.permute(0, 3, 1, 2).reshape(count, 3, rows // 2, 2, side, columns // 2, 2, side)
    patches = split.permute(0, 2, 5, 3, 6, 1, 4, 7)  # cells, then 2 x 2 patches
    return patches.reshape(count, rows * columns, 3 * side * side), rows, columns
