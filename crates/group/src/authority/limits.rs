//! How much a group may hold.

/// The maximum number of members, including removed ones: these stay in the table, so that their
/// keys stay removed even if the file of the group's record is lost.
pub const MAX_MEMBERS: usize = 100_000;
/// The maximum number of invites that are remembered: those that can still be used, and as many of
/// the others as there is room for.
pub const MAX_INVITES: usize = 1_000;
/// The maximum number of uses of one invite. Whoever asks for more is refused before it gets here.
pub const MAX_USES: u32 = 10_000;
