import LinuxIO

/// A context whose state can be written down and made again: an optional property of ``IOMMUContext``, as capabilities
/// are.
package protocol KeptState: AnyObject {
    /// What is given while a change is made; one for the whole backend.
    var ledger: Ledger { get }

    // MARK: Files

    /// What there is to know of a memory object; `ENOENT`.
    func memoryFacts(_ memory: ObjectID) throws(IOMMUError) -> KeptMemory
    /// The number of its descriptor, to use at once; `ENOENT`.
    func memoryDescriptor(_ memory: ObjectID) throws(IOMMUError) -> Int32
    /// What there is to know of an address space; nil if it is a synthetic one. `ENOENT`.
    func processFacts(_ mm: ObjectID) throws(IOMMUError) -> KeptProcess?
    /// The numbers of its `mem` and `maps`, to use at once; none of a synthetic one. `ENOENT`.
    func processDescriptors(_ mm: ObjectID) throws(IOMMUError) -> [Int32]

    // MARK: Writing down

    /// What makes the context's state anew, in order; the context is called for nothing else until it is at its end.
    ///
    /// - Parameter files: by which memory objects and address spaces of processes are found again.
    func walk(files: any KeptFiles) -> KeptWalk

    // MARK: Making again

    /// A memory object over a file; without one over an empty one of the same size, to be taken out by
    /// ``lose(memory:)`` when all is made.
    func restoreMemory(_ facts: KeptMemory, _ file: consuming Descriptor?) throws(IOMMUError) -> ObjectID
    /// The address space of a process; without its files it has ended when all is made.
    func restoreProcess(
        _ facts: KeptProcess, mem: consuming Descriptor?, maps: consuming Descriptor?
    ) throws(IOMMUError) -> ObjectID
    /// One of the changes that say what is there.
    func restore(_ change: Change) throws(IOMMUError)
    /// Takes out whatever maps a memory object, and closes it.
    func lose(memory: ObjectID)
    /// All changes have been made: what only time could tell is as bad as it may be. Pages count as dirty, events as
    /// lost, and address spaces without files as ended.
    func settle()
    /// What the session may hold from now on.
    func apply(_ limits: ContextLimits)

    /// What it says is in a kernel, which goes on while the daemon does not: nothing is made again.
    var living: (any LivingState)? { get }
}

extension KeptState {
    /// A state is in the daemon, unless it says otherwise.
    package var living: (any LivingState)? { nil }
}

/// Numbers by which files are found again that somebody else keeps.
package protocol KeptFiles: AnyObject {
    /// Of a memory object's file; 0: none.
    func file(ofMemory memory: ObjectID) -> UInt64
    /// Of the first file of an address space; 0: none.
    func file(ofSpace space: UInt64) -> UInt64
    /// Of the descriptor of an object of the iommufd id space; nil: of the iommufd itself. 0: none.
    func file(ofObject object: ObjectID?) -> UInt64
    /// Whether an address space of a process has been written down; one that has not is to be left out.
    func isWritten(mm: ObjectID) -> Bool
}

/// The changes that make a state anew, in steps.
package final class KeptWalk {
    /// Takes a change with what it is given.
    package typealias Taker = (_ change: Change, _ given: [Ledger.Entry]) -> Void
    /// Goes on for as long as the budget lasts; true: it is through.
    package typealias Step = (_ budget: inout TurnBudget, _ take: Taker) -> Bool

    private var steps: ArraySlice<Step>

    /// - Parameter steps: in order.
    package init(_ steps: [Step]) { self.steps = steps[...] }

    /// Goes on for as long as the budget lasts. - Returns: whether it is at its end.
    package func goOn(_ budget: inout TurnBudget, _ take: Taker) -> Bool {
        while let step = steps.first {
            guard step(&budget, take) else { return false }
            steps.removeFirst()
            if budget.isSpent() { return steps.isEmpty }
        }
        return true
    }
}

/// A backend that can find its contexts' state again: an optional property of ``IOMMUBackend``.
package protocol KeptBackend: AnyObject {
    /// What is given while a change is made.
    var ledger: Ledger { get }
    /// A table has moved to another ASID; nothing happens where there is no such table.
    func restoreMove(smmu: String, from: UInt16, to: UInt16)
    /// Nothing of a context outlives the daemon where nobody keeps descriptors.
    var needsFiles: Bool { get }
    /// What has to be said of what was found again, in sentences for the log; once.
    func takeNotes() -> [String]
}

extension KeptBackend {
    /// There is nothing to say.
    package func takeNotes() -> [String] { [] }
    /// What a backend has is in the daemon, unless it says otherwise.
    package var needsFiles: Bool { false }
}
