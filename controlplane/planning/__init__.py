"""Placement as a duty of the global leader: what is asked, who computes it, what is carried out."""
