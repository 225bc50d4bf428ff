import IOMMU

/// Memory of other processes by threads of this one: for whoever trusts those processes to answer, and for tests, which
/// decide when the work is done.
final class WorkerMemory: ForeignMemory {
    private let executor: any WorkExecutor
    private unowned let manager: SVAManager

    init(executor: any WorkExecutor, manager: SVAManager) {
        self.executor = executor
        self.manager = manager
    }

    func open(
        _ process: consuming NamedProcess, for ticket: ForeignTicket,
        completion: @escaping (Result<OpenedProcess, IOMMUError>) -> Void
    ) throws(IOMMUError) {
        let candidate = try process.candidate(manager.processFiles)
        executor.perform(key: ticket.key) {
            candidate.examine()
        } completion: {
            completion($0)
        }
    }

    func compare(
        _ pid: Int32, with others: [Int32], for ticket: ForeignTicket,
        completion: @escaping (Result<[Int32], IOMMUError>) -> Void
    ) {
        let files = manager.processFiles
        executor.perform(key: ticket.key) {
            others.map { files.compareMM(pid, $0) }
        } completion: {
            completion(.success($0))
        }
    }

    func touch(
        _ address: UInt64, write: Bool, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<ProcessArea, ForeignFailure>) -> Void
    ) {
        executor.perform(key: ticket.key) {
            memory.touch(address, write: write)
        } completion: {
            completion($0.mapError { .memory($0) })
        }
    }

    func check(
        _ address: UInt64, length: UInt64, _ access: Access, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<Void, ForeignFailure>) -> Void
    ) {
        executor.perform(key: ticket.key) {
            Result { () throws(ProcessMemory.Failure) in try memory.check(address, length: length, access) {} }
        } completion: {
            completion($0.mapError { .memory($0) })
        }
    }

    func move(
        _ piece: DeviceOperation, previous: UInt32?, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<MovedData, ForeignFailure>) -> Void
    ) -> any DataTransfer {
        let transfer = ProcessTransfer()
        executor.perform(key: ticket.key) {
            transfer.run(piece, in: memory, previous: previous)
        } completion: {
            completion($0.mapError { .memory($0) })
        }
        return transfer
    }

    var probesAtOnce: Bool { true }

    func probe(_ memories: [ProcessMemory], for ticket: ForeignTicket, completion: @escaping ([Bool]) -> Void) {
        executor.perform(key: ticket.key) {
            memories.map(\.isAlive)
        } completion: {
            completion($0)
        }
    }

    func refusal(for ticket: ForeignTicket) -> IOMMUError? { nil }

    func forget(_ ticket: ForeignTicket) {}
}
