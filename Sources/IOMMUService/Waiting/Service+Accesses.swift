import IOMMU
import JSONRPC

/// The answer to an access that may have to wait: the call is parked only if it does.
private final class PendingAccess<Value> {
    private let write: (ResultWriter, Value) -> Void
    private var parked: ParkedCall?
    private var onEnd: (() -> Void)?

    init(_ write: @escaping (ResultWriter, Value) -> Void) { self.write = write }

    func wait(_ call: ParkedCall, onEnd: @escaping () -> Void) {
        parked = call
        self.onEnd = onEnd
    }

    func finish(_ result: Result<Value, IOMMUError>) {
        onEnd?()
        onEnd = nil
        switch result {
        case .success(let value): parked?.reply { write($0, value) }
        case .failure(let error): parked?.fail(error)
        }
        parked = nil
    }
}

extension Service {
    /// Starts an access of a device and answers when it is through, at once or later.
    ///
    /// An access that waits ends with its connection, and after `milliseconds` with ETIMEDOUT.
    func access<Value>(
        _ call: Call, _ work: any WaitingWork, timeout milliseconds: UInt32?,
        start: (@escaping (Result<Value, IOMMUError>) -> Void) throws(IOMMUError) -> Progress<Value>,
        write: @escaping (ResultWriter, Value) -> Void
    ) throws -> Outcome {
        try access(call, work, timeout: milliseconds, with: ()) { (_, done) throws(IOMMUError) in
            try start(done)
        } write: {
            write($0, $1)
        }
    }

    /// As above, with something that goes over to the access.
    func access<Subject: ~Copyable, Value>(
        _ call: Call, _ work: any WaitingWork, timeout milliseconds: UInt32?, with subject: consuming Subject,
        start: (
            consuming Subject, @escaping (Result<Value, IOMMUError>) -> Void
        ) throws(IOMMUError) -> Progress<Value>,
        write: @escaping (ResultWriter, Value) -> Void
    ) throws -> Outcome {
        let pending = PendingAccess(write)
        switch try start(subject, { pending.finish($0) }) {
        case .done(let value):
            return call.reply { write($0, value) }
        case .pending(let id):
            let parked = call.park { [weak work] in
                work?.terminate(access: id, with: Self.accessCancelled)
            }
            let timer = milliseconds.map { milliseconds in
                loop.schedule(after: UInt64(milliseconds) * 1_000_000) { [weak work] in
                    work?.terminate(access: id, with: Self.accessTimedOut(milliseconds))
                }
            }
            pending.wait(parked) { [loop] in if let timer { loop.cancel(timer) } }
            return .later(parked)
        }
    }

    private static var accessCancelled: IOMMUError {
        IOMMUError(
            .ECANCELED, .disconnected, "the connection that waited for the access has ended",
            hint: "keep the connection open until the reply is there")
    }

    private static func accessTimedOut(_ milliseconds: UInt32) -> IOMMUError {
        IOMMUError(
            .ETIMEDOUT, .accessTimedOut, "the device waited \(milliseconds) ms, and nobody answered its fault",
            hint: "read the faults with fault.read and answer them with fault.respond",
            ["timeout_ms": .number(UInt64(milliseconds))])
    }

    // MARK: Address spaces of processes

    /// Does something with an address space once it is known whether that still lives.
    ///
    /// - Parameters:
    ///   - mm: the address space; ENOENT if it is none.
    ///   - body: done now or later; refuses what has ended.
    func lookingFirst<Value>(
        _ call: Call, at mm: ObjectID, _ body: @escaping () throws(IOMMUError) -> Value,
        write: @escaping (ResultWriter, Value) -> Void
    ) throws -> Outcome {
        let spaces = try sharedAddressing(call)
        return try access(call, spaces, timeout: nil) { done throws(IOMMUError) in
            let progress = try spaces.look(at: mm) { looked in
                done(looked.flatMap { Result { () throws(IOMMUError) in try body() } })
            }
            switch progress {
            case .done: return .done(try body())
            case .pending(let id): return .pending(id)
            }
        } write: {
            write($0, $1)
        }
    }

    /// Looks regularly whether processes that share their address space are still there, as long as there are any.
    func watchAddressSpaces() {
        guard !isWatchingAddressSpaces, let probing = backend.addressSpaceProbing, probing.needsProbing else { return }
        isWatchingAddressSpaces = true
        loop.schedule(after: probing.probeInterval / 2) { [unowned self] in
            isWatchingAddressSpaces = false
            probing.probeAddressSpaces()
            watchAddressSpaces()
        }
    }
}
