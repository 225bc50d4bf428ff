import Durability
import IOMMU

/// Named sessions that were there before a restart.
extension SessionTable {
    /// A named session that was there before; nil where its name or its number is taken.
    func restore(
        _ facts: SessionFacts, _ stand: (any IOMMUContext) -> any IOMMUContext
    ) -> Session? {
        guard let name = try? SessionName(facts.name), sessions[facts.serial] == nil else { return nil }
        let key = Key(uid: facts.owner.uid, name: name)
        guard named[key] == nil, facts.serial < 1 << 62 else { return nil }
        let session = makeSession(name: name, owner: facts.owner, serial: facts.serial) { stand($1) }
        accounts[facts.owner.uid]?.account.grantAll(true)
        named[key] = session
        return session
    }

    /// Numbers up to this one may be those of sessions that are still to be made again.
    func skipSerials(to serial: UInt64) { lastSerial = max(lastSerial, serial & (1 << 62 - 1)) }

    /// It was closed before the restart.
    func forgetRestored(_ session: Session) { discard(session) }

    /// Whatever is charged is granted, or (false) what the limits say from now on.
    func grantAll(_ grants: Bool) {
        if grants { limitsBefore = limits.context }
        limits.context = grants ? .unlimited(limits.context) : limitsBefore ?? limits.context
        for entry in accounts.values { entry.account.grantAll(grants) }
    }
}

extension ContextLimits {
    /// What can be counted is not limited.
    fileprivate static func unlimited(_ limits: ContextLimits) -> ContextLimits {
        var unlimited = limits
        (unlimited.objects, unlimited.mappings) = (Int.max >> 1, Int.max >> 1)
        (unlimited.bonds, unlimited.queues) = (Int.max >> 1, Int.max >> 1)
        unlimited.memorySize = .max
        return unlimited
    }
}
