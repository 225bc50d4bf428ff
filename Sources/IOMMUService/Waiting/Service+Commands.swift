import IOMMU
import JSONRPC
import LinuxIO

extension Service {
    /// Has a bare SMMU work off a long command queue in turns of the loop, so that no guest holds up the others, and
    /// answers then. It goes on where the connection ends.
    func consumeCommands(of vsmmu: ObjectID, _ smmus: any BareSMMUs, for call: Call) throws -> Outcome {
        let parked = call.park {}
        loop.inPieces(for: try client(call).peer.identity.uid) { [weak smmus] budget in
            do {
                guard let smmus else { throw IOMMUError.sessionClosed }
                guard try smmus.consumeVSMMUCommands(vsmmu, &budget) else { return false }
                parked.reply()
            } catch {
                parked.fail(error)
            }
            return true
        }
        return .later(parked)
    }

    /// Lets a bare SMMU translate one transaction after another, and answers with all that came of them: at once if
    /// they are few, else when the last has had its turn. Nothing more is translated once the connection has ended.
    func translate(
        _ transactions: [TransactionRequest], of vsmmu: ObjectID, _ smmus: any BareSMMUs, for call: Call,
        write: @escaping (ResultWriter, [TranslationResult]) -> Void
    ) throws -> Outcome {
        let row = TransactionRow(vsmmu, transactions)
        var budget = TurnBudget(until: MonotonicClock.nanoseconds &+ Self.translatedAtOnce)
        if try row.goOn(smmus, &budget) { return call.reply { write($0, row.results) } }
        let parked = call.park { row.isCancelled = true }
        loop.inPieces(for: try client(call).peer.identity.uid) { [weak smmus] budget in
            guard !row.isCancelled else { return true }
            do {
                guard let smmus else { throw IOMMUError.sessionClosed }
                guard try row.goOn(smmus, &budget) else { return false }
                parked.reply { write($0, row.results) }
            } catch {
                parked.fail(error)
            }
            return true
        }
        return .later(parked)
    }

    /// Nanoseconds.
    private static var translatedAtOnce: UInt64 { 500_000 }
}

/// The transactions of one call, and what has come of them so far.
private final class TransactionRow {
    private let vsmmu: ObjectID
    private let transactions: [TransactionRequest]
    private(set) var results: [TranslationResult] = []
    var isCancelled = false
    /// Translated between two looks at the budget, of some microseconds each.
    private static let atOnce = 16

    init(_ vsmmu: ObjectID, _ transactions: [TransactionRequest]) {
        self.vsmmu = vsmmu
        self.transactions = transactions
        results.reserveCapacity(transactions.count)
    }

    /// - Returns: whether those were the last.
    func goOn(_ smmus: any BareSMMUs, _ budget: inout TurnBudget) throws(IOMMUError) -> Bool {
        repeat {
            let next = transactions[results.count..<min(results.count + Self.atOnce, transactions.count)]
            results += try smmus.translateVSMMU(vsmmu, many: Array(next))
            if results.count == transactions.count { return true }
        } while !budget.isSpent(after: 4 * Self.atOnce)
        return false
    }
}
