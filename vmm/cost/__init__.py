"""What a run would have cost on a real machine: counted figures times the constants of a profile.

    profile   a machine as a table of constants, each with its source and how it is known
    prices    which counted figure costs which constants, and what it is spent on
    *.toml    the profiles

Cycles are a model, never a measurement; whoever shows them says so and names the profile. Counted
figures come from `vmm.events.Ledger` by way of `vmm.machine.Result`.
"""

from vmm.cost.prices import ACTIVITIES, Cycles, Item, price
from vmm.cost.profile import (
    DEFAULT_PROFILE,
    STATUSES,
    Constant,
    Profile,
    ProfileError,
    load_profile,
    profile_names,
)

__all__ = [
    "ACTIVITIES",
    "DEFAULT_PROFILE",
    "STATUSES",
    "Constant",
    "Cycles",
    "Item",
    "Profile",
    "ProfileError",
    "load_profile",
    "price",
    "profile_names",
]
