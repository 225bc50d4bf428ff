import IOMMU
import LinuxIO

/// One request on its way through the helpers.
final class HelperJob: DataTransfer {
    /// What came of it.
    enum Outcome {
        case opened(OpenedProcess)
        case answered(HelperReply.Result)
        /// What was read.
        case read([UInt8])
        /// No helper has done it.
        case refused(IOMMUError)
    }

    let ticket: ForeignTicket
    let work: HelperRequest.Work
    /// What is written.
    let payload: [UInt8]
    /// Whose `mem` and `maps` go with it; of those that are probed, `mem`.
    let memories: [ProcessMemory]
    /// What else goes with it.
    let descriptors: [SharedDescriptor]
    private var completion: ((Outcome) -> Void)?
    /// Nobody wants it any more; it is completed all the same.
    private(set) var isCancelled = false
    /// Told of the first cancellation.
    var onCancel: (() -> Void)?

    init(
        _ work: HelperRequest.Work, for ticket: ForeignTicket, memories: [ProcessMemory] = [],
        descriptors: [SharedDescriptor] = [], payload: [UInt8] = [], completion: @escaping (Outcome) -> Void
    ) {
        (self.work, self.ticket, self.memories) = (work, ticket, memories)
        (self.descriptors, self.payload, self.completion) = (descriptors, payload, completion)
    }

    func request(number: UInt64) -> HelperRequest {
        HelperRequest(
            number: number, uid: ticket.uid, isWritable: memories.first?.isWritable ?? false,
            hasQuery: memories.first?.hasQuery ?? false, work: work)
    }

    /// Those that go with the request.
    var numbers: [Int32] {
        if case .probe = work { return memories.map(\.memDescriptor) }
        return memories.flatMap(\.descriptors) + descriptors.map(\.number)
    }

    /// What is moved is not wanted any more.
    func cancel() {
        guard !isCancelled else { return }
        isCancelled = true
        let onCancel = onCancel
        self.onCancel = nil
        onCancel?()
    }

    /// Completes it, once.
    func finish(_ outcome: Outcome) {
        let completion = completion
        self.completion = nil
        onCancel = nil
        completion?(outcome)
    }
}
