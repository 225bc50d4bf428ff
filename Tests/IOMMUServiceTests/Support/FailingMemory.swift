import IOMMU
import LinuxIO

@testable import EmulatedIOMMU

/// Memory of processes whose pages are always there, and can never be read or written.
final class FailingMemory: ForeignMemory {
    private final class Nothing: DataTransfer {
        func cancel() {}
    }

    private let base: any ForeignMemory
    private let executor: any WorkExecutor
    private let failure: (UInt64) -> ProcessMemory.Failure
    /// Why rights cannot be looked at; nil: they can.
    var checking: IOMMUError?

    /// - Parameter failure: of moving data at an address.
    init(
        over base: any ForeignMemory, _ executor: any WorkExecutor,
        _ failure: @escaping (UInt64) -> ProcessMemory.Failure
    ) {
        (self.base, self.executor, self.failure) = (base, executor, failure)
    }

    func touch(
        _ address: UInt64, write: Bool, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<ProcessArea, ForeignFailure>) -> Void
    ) {
        let start = address & ~0xfff
        executor.later {
            completion(.success(ProcessArea(start: start, end: start + 4096, isReadable: true, isWritable: true)))
        }
    }

    func check(
        _ address: UInt64, length: UInt64, _ access: Access, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<Void, ForeignFailure>) -> Void
    ) {
        guard let checking else {
            return base.check(address, length: length, access, in: memory, for: ticket, completion: completion)
        }
        executor.later { completion(.failure(.refused(checking))) }
    }

    func move(
        _ piece: DeviceOperation, previous: UInt32?, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<MovedData, ForeignFailure>) -> Void
    ) -> any DataTransfer {
        let address: UInt64 =
            switch piece {
            case .read(let address, _), .write(let address, _), .fill(let address, _, _), .checksum(let address, _),
                .copy(let address, _, _):
                address
            }
        executor.later { [failure] in completion(.failure(.memory(failure(address)))) }
        return Nothing()
    }

    func open(
        _ process: consuming NamedProcess, for ticket: ForeignTicket,
        completion: @escaping (Result<OpenedProcess, IOMMUError>) -> Void
    ) throws(IOMMUError) {
        try base.open(process, for: ticket, completion: completion)
    }

    func compare(
        _ pid: Int32, with others: [Int32], for ticket: ForeignTicket,
        completion: @escaping (Result<[Int32], IOMMUError>) -> Void
    ) {
        base.compare(pid, with: others, for: ticket, completion: completion)
    }

    var probesAtOnce: Bool { base.probesAtOnce }

    func probe(_ memories: [ProcessMemory], for ticket: ForeignTicket, completion: @escaping ([Bool]) -> Void) {
        base.probe(memories, for: ticket, completion: completion)
    }

    func refusal(for ticket: ForeignTicket) -> IOMMUError? { base.refusal(for: ticket) }
    func forget(_ ticket: ForeignTicket) { base.forget(ticket) }
}
