//! Members on this machine, kept by whoever starts their processes.

use crate::board::Board;
use crate::{Health, InvalidMember, Listed, Member, Role};
use spinwell_core::NodeId;

/// Says who is there. It knows better than any check: it has started the processes and learns of their end.
#[derive(Debug, Clone)]
pub struct Supervisor {
    board: Board,
}

impl Supervisor {
    pub(crate) fn new(board: Board) -> Self {
        Self { board }
    }

    /// A member is there and passing, in the place of one with the same role and id.
    ///
    /// # Errors
    /// Where the member could not be registered elsewhere either.
    pub fn join(&self, member: Member) -> Result<(), InvalidMember> {
        member.check()?;
        self.board.edit(|members| {
            members.retain(|listed| !is(listed, member.role, &member.id));
            members.push(Listed { member, health: Health::Passing });
        });
        Ok(())
    }

    /// How a member is. Nothing happens where it is not there.
    pub fn set_health(&self, role: Role, id: &NodeId, health: Health) {
        self.board.edit(|members| {
            for listed in members.iter_mut().filter(|listed| is(listed, role, id)) {
                listed.health = health;
            }
        });
    }

    /// A member is gone. Nothing happens where it is not there.
    pub fn leave(&self, role: Role, id: &NodeId) {
        self.board.edit(|members| {
            members.retain(|listed| !is(listed, role, id));
        });
    }
}

fn is(listed: &Listed, role: Role, id: &NodeId) -> bool {
    listed.member.role == role && listed.member.id == *id
}
