import IOMMU
import LinuxIO

/// Long accesses go on in pieces, in one turn of the loop after another, so that nobody waits for all of their data.
///
/// Between two pieces everything may change: each is translated anew, and sees each page before a change or after.
extension DMAEngine {
    /// Lets an access go on when its user has a turn.
    func waitForTurn(_ access: DeviceAccess) {
        due[ObjectIdentifier(access)] = access
        guard !access.takesTurns else { return }
        access.takesTurns = true
        executor.inPieces(for: access.owner.uid) { [weak self] budget in self?.takeTurn(access, &budget) ?? true }
    }

    /// - Returns: whether it needs no more turns: it is through, or waits for something else, and asks again then.
    private func takeTurn(_ access: DeviceAccess, _ budget: inout TurnBudget) -> Bool {
        while due.removeValue(forKey: ObjectIdentifier(access)) != nil, access.result == nil {
            let completed = access.outcome.completed
            access.beginTurn()
            makeReady(access)
            pump()
            if budget.isSpent(after: DeviceAccess.units(access.outcome.completed - completed)) { break }
        }
        access.takesTurns = due[ObjectIdentifier(access)] != nil
        return !access.takesTurns
    }
}
