"""Where embeddings are kept as soon as they are paid for."""

from pinakes.checkpoints.base import VectorChunk
from pinakes.checkpoints.checkpoint import Checkpoint, open_checkpoint
from pinakes.checkpoints.compaction import Compaction
from pinakes.checkpoints.ledger import Ledger, LedgerRow
from pinakes.checkpoints.writer import CheckpointWriter

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "Compaction",
    "Ledger",
    "LedgerRow",
    "VectorChunk",
    "open_checkpoint",
]
