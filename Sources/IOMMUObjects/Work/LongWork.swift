import IOMMU
import LinuxIO

/// Long work of a context, in steps. What can fail or be called off comes first, and changes nothing that anybody sees
/// if it does; then what is done to the end.
class LongWork<Value> {
    let context: ObjectContext

    init(_ context: ObjectContext) { self.context = context }

    /// Goes on for as long as the budget lasts.
    ///
    /// - Returns: what came of it; nil: it goes on in a later turn.
    func step(_ budget: inout TurnBudget) -> Result<Value, IOMMUError>? {
        preconditionFailure("every kind of work says what its steps are")
    }

    /// Whether nobody waits for it any more.
    final var isCalledOff: Bool { context.isCalledOff }

    static var calledOff: IOMMUError {
        IOMMUError(
            .ECANCELED, .disconnected, "the connection has ended that waited for the call",
            hint: "ask again on another; what had not been done for good is undone")
    }
}

extension ObjectContext {
    /// As many mappings are walked over at once.
    static let mappingsAtOnce = 2048

    /// Has the loop do the work in pieces. Until it has ended the context is called for nothing else, and what others
    /// see of it is as it was before.
    func begin<Value>(_ work: LongWork<Value>, on executor: any WorkExecutor) -> Answer<Value> {
        let deferred = Deferred<Value>()
        (isCalledOff, shown) = (false, (mapped, objectCount))
        var result: Result<Value, IOMMUError>?
        let page = ledger?.page
        executor.inPieces(for: account.uid) { [self] budget in
            if result == nil { result = step(work, &budget, page) }
            guard let result, bury(&budget) else { return false }
            shown = nil
            deferred.settle(result)
            return true
        }
        return .later(deferred)
    }

    /// What is given in a later turn is given to the change that was in hand when the work began.
    private func step<Value>(
        _ work: LongWork<Value>, _ budget: inout TurnBudget, _ page: Ledger.Page?
    ) -> Result<Value, IOMMUError>? {
        guard let page, let ledger else { return work.step(&budget) }
        let outer = ledger.exchange(page)
        defer { _ = ledger.exchange(outer) }
        return work.step(&budget)
    }

    /// Nobody waits any more for what was begun: what has not yet come so far that it has to be ended is undone.
    package func callOff() {
        isCalledOff = true
        lender?.callOffCheck()
    }

    // MARK: Tables of hwpts that have gone

    /// Carries out a change after which large tables of hwpts may have to be freed: that is done in pieces before the
    /// answer.
    func buryingLater<Value>(
        _ change: () throws(IOMMUError) -> Value
    ) throws(IOMMUError) -> Answer<Value> {
        guard let executor = registry.host.longWork else { return .now(try change()) }
        buriesLater = true
        defer { buriesLater = false }
        let value = try change()
        return graves.isEmpty ? .now(value) : begin(Burial(self, value), on: executor)
    }

    /// As ``buryingLater(_:)``, where nobody waits for it.
    func buryingInBackground(_ change: () -> Void) {
        guard let executor = registry.host.longWork, ledger?.isRestoring != true else { return change() }
        buriesLater = true
        change()
        buriesLater = false
        // Work that is under way does it at its end.
        guard !graves.isEmpty, shown == nil else { return }
        executor.inPieces(for: account.uid) { [self] in bury(&$0) }
    }

    /// Frees tables of hwpts that have gone; false: some are left.
    func bury(_ budget: inout TurnBudget) -> Bool {
        while let domain = graves.last {
            guard domain.dismantle(&budget) else { return false }
            graves.removeLast()
            domain.destroy()
        }
        return true
    }
}

/// Nothing but ``ObjectContext/bury(_:)``, which comes at the end of all work.
private final class Burial<Value>: LongWork<Value> {
    private let value: Value

    init(_ context: ObjectContext, _ value: Value) {
        self.value = value
        super.init(context)
    }

    override func step(_ budget: inout TurnBudget) -> Result<Value, IOMMUError>? { .success(value) }
}
