import CLinux
import DequeModule
import IOMMU
import IOMMUObjects
import LinuxIO

/// A queue of page faults: what its descriptor has brought and nobody has read yet.
final class KernelFaultQueue: KernelObject {
    /// Faults of one read(2).
    private static let batch = 64

    /// nil once the queue is being destroyed: the kernel does not destroy one whose descriptor is open.
    var descriptor: QueueDescriptor?
    var hwptCount = 0
    private let limit: Int
    private var waiting = Deque<PageFault>()

    init(id: ObjectID, _ descriptor: QueueDescriptor?, limit: Int) {
        self.descriptor = descriptor
        self.limit = limit
        super.init(.fault, id: id)
    }

    override var users: Int { hwptCount }
    override var state: [IOMMUError.Member] { [.init("waiting", .number(UInt64(waiting.count { $0.last })))] }

    // MARK: From the kernel

    /// Takes in what the kernel has, whole groups, and tells of each fault that ends one.
    ///
    /// - Returns: whether there is room for more.
    func take(_ tell: (PageFault) -> Void) -> Bool {
        let room = withUnsafeTemporaryAllocation(of: clinux_iommu_hwpt_pgfault.self, capacity: Self.batch) { buffer in
            while waiting.count < limit {
                let bytes = descriptor?.read(into: UnsafeMutableRawBufferPointer(buffer)) ?? 0
                let count = bytes / MemoryLayout<clinux_iommu_hwpt_pgfault>.stride
                guard count > 0 else { return true }
                for fault in buffer.prefix(count) {
                    let fault = PageFault(fault)
                    waiting.append(fault)
                    if fault.last { tell(fault) }
                }
            }
            return false
        }
        return room
    }

    // MARK: To the client

    /// Whole groups. `EINVAL` if not even the first fits.
    func read(max: Int) throws(IOMMUError) -> [PageFault] {
        var taken: [PageFault] = []
        while let first = waiting.first {
            let end = waiting.firstIndex { $0.last && $0.cookie == first.cookie } ?? waiting.count - 1
            guard end + 1 <= max - taken.count else {
                guard taken.isEmpty else { break }
                throw IOMMUError(
                    .EINVAL, .groupDoesNotFit,
                    "the next page request group has \(end + 1) faults and at most \(max) were asked for",
                    hint: "read with a larger max",
                    ["fault": .number(UInt64(id)), "needed": .number(UInt64(end + 1))])
            }
            for _ in 0...end { if let fault = waiting.popFirst() { taken.append(fault) } }
        }
        try? descriptor?.resume()
        return taken
    }

    /// `EINVAL` for a cookie that is not outstanding; the responses before it stand.
    func respond(_ responses: [FaultResponse]) throws(IOMMUError) -> Int {
        for (handled, response) in responses.enumerated() {
            var message = clinux_iommu_hwpt_page_response()
            (message.cookie, message.code) = (response.cookie, response.success ? 0 : 1)
            let isUnread = waiting.contains { $0.cookie == response.cookie }
            guard !isUnread, descriptor?.write(message) == 0 else {
                throw IOMMUError(
                    .EINVAL, .unknownCookie, "no fault waits for an answer with cookie \(response.cookie)",
                    hint: "each cookie of fault.read is answered once; a detach answers the rest",
                    [
                        "fault": .number(UInt64(id)), "cookie": .number(UInt64(response.cookie)),
                        "handled": .number(UInt64(handled)),
                    ])
            }
        }
        return responses.count
    }

    /// What an earlier daemon has taken in is answered: nobody knows whether it was told of. The kernel gives the
    /// lowest free numbers as cookies, one for each group that waits.
    func answerAll() {
        for cookie in 0..<UInt32(clamping: limit) {
            _ = descriptor?.write(clinux_iommu_hwpt_page_response(cookie: cookie, code: 1))
        }
    }

    /// The kernel has answered what the device had open through `hwpt`: it is not there to be read any more.
    func forget(device: ObjectID, pasid: UInt32?, hwpt: KernelHWPT) {
        waiting.removeAll { $0.device == device && (hwpt.isNested || $0.pasid == pasid) }
        try? descriptor?.resume()
    }
}

extension PageFault {
    fileprivate init(_ fault: clinux_iommu_hwpt_pgfault) {
        let permissions: [(UInt32, String)] = [(1, "read"), (2, "write"), (4, "exec"), (8, "priv")]
        self.init(
            device: fault.dev_id, pasid: fault.flags & 1 != 0 ? fault.pasid : nil, groupID: fault.grpid,
            permissions: permissions.filter { fault.perm & $0.0 != 0 }.map(\.1), address: fault.addr,
            length: UInt64(fault.length), cookie: fault.cookie, last: fault.flags & 2 != 0)
    }
}
