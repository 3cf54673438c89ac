//! How much a group may hold.

/// The most members of a group.
pub const MAX_MEMBERS: usize = 100_000;
/// The most invites that are remembered.
pub const MAX_INVITES: usize = 1_000;
/// The most uses of an invite.
pub(super) const MAX_USES: u32 = 10_000;
