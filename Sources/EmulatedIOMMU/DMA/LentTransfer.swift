import IOMMU
import SMMUv3

/// Moves the data of one piece of which some lies in pages that processes have lent: part by part, in order.
///
/// Before the first byte is written it is known that memory objects can take theirs. What a process does not permit any
/// more ends the piece as if its page had never been mapped.
final class LentTransfer: DataTransfer {
    /// Bytes of a span that lie beside each other in one place.
    private struct Part {
        var address: UInt64
        var length: UInt64
        /// Bytes of the span before it.
        var done: UInt64
        var isLent: Bool
    }

    private let engine: DMAEngine
    private let piece: DeviceOperation
    private let access: DeviceAccess
    private let source: [Part]
    private let target: [Part]
    private var next = 0
    private var isWriting = false
    /// What is read, or is to be written.
    private var bytes: [UInt8] = []
    private var isOver = false
    private var current: (any DataTransfer)?

    init(
        _ engine: DMAEngine, _ piece: DeviceOperation, of access: DeviceAccess, source: [DeviceAccess.Segment],
        target: [DeviceAccess.Segment]
    ) {
        (self.engine, self.piece, self.access) = (engine, piece, access)
        self.source = Self.parts(of: source, engine)
        self.target = Self.parts(of: target, engine)
    }

    /// Segments that touch each other are one, whatever lies behind them.
    private static func parts(of segments: [DeviceAccess.Segment], _ engine: DMAEngine) -> [Part] {
        var parts: [Part] = []
        var done: UInt64 = 0
        for segment in segments {
            var (address, left) = (segment.address, segment.length)
            while left > 0 {
                let lent = engine.lentMemory?.lentBytes(at: address)
                let space = engine.machine.lentSpace
                let isBefore = address < space.start
                let count = min(left, lent ?? (isBefore ? space.start &- address : left))
                parts.append(Part(address: address, length: count, done: done, isLent: space.contains(address)))
                (address, left, done) = (address &+ count, left &- count, done &+ count)
            }
        }
        return parts
    }

    func begin() {
        engine.transferring.append(access)
        access.transfer = self
        switch piece {
        case .write(_, let data): bytes = data
        case .fill(_, let length, let value): bytes = [UInt8](repeating: value, count: Int(length))
        case .read(_, let length), .checksum(_, let length), .copy(_, _, let length):
            bytes.reserveCapacity(Int(length))
        }
        read()
    }

    func cancel() {
        isOver = true
        current?.cancel()
        engine.transferring.removeAll { $0 === access }
    }

    // MARK: Reading

    private func read() {
        while next < source.count {
            let part = source[next]
            guard part.isLent else {
                guard let data = data(of: part) else { return end(.failure(.noMemory(at: part.address))) }
                bytes += data
                next += 1
                continue
            }
            return move(.read(part.address, length: part.length), part, .read) { [self] data in
                bytes += data
                next += 1
                read()
            }
        }
        (next, isWriting) = (0, true)
        if let refusal = refusalToWrite() { return end(.failure(refusal)) }
        write()
    }

    private func data(of part: Part) -> [UInt8]? {
        var isComplete = false
        let data = [UInt8](unsafeUninitializedCapacity: Int(part.length)) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(
                rebasing: UnsafeMutableRawBufferPointer(buffer)[..<Int(part.length)])
            isComplete = engine.machine.read(part.address, into: raw)
            count = isComplete ? Int(part.length) : 0
        }
        return isComplete ? data : nil
    }

    // MARK: Writing

    private func refusalToWrite() -> IOMMUError? {
        for part in target where !part.isLent {
            guard engine.machine.canWrite(part.address, length: part.length) else { return .noMemory(at: part.address) }
            do throws(IOMMUError) {
                try engine.machine.payForHoles(part.address, length: part.length)
            } catch {
                return error
            }
        }
        return nil
    }

    private func write() {
        while next < target.count {
            let part = target[next]
            let data = bytes[Int(part.done)..<Int(part.done &+ part.length)]
            guard part.isLent else {
                guard data.withUnsafeBytes({ engine.machine.write(part.address, from: $0) }) else {
                    return end(.failure(.noMemory(at: part.address)))
                }
                next += 1
                continue
            }
            return move(.write(part.address, Array(data)), part, .write) { [self] _ in
                next += 1
                write()
            }
        }
        end(.success(()))
    }

    // MARK: Ends

    private func move(
        _ operation: DeviceOperation, _ part: Part, _ kind: SMMUv3.Access, then goOn: @escaping ([UInt8]) -> Void
    ) {
        guard let memory = engine.lentMemory else { return end(.failure(.noMemory(at: part.address))) }
        var isThrough = false
        let moving = memory.move(operation) { [self] result in
            isThrough = true
            current = nil
            guard !isOver else { return }
            switch result {
            case .moved(let data): goOn(data)
            case .absent(let after): retry(without: address(of: part, after), kind)
            case .unreachable(let after): end(.failure(.unreachablePage(at: address(of: part, after))))
            case .failed(let error): end(.failure(error))
            }
        }
        if !isThrough { current = moving }
    }

    /// The device's own address of a byte.
    private func address(of part: Part, _ after: UInt64) -> UInt64 {
        let spans = access.spans(of: piece)
        let span = isWriting ? spans.target : spans.source
        return (span?.address ?? 0) &+ part.done &+ after
    }

    private func retry(without address: UInt64, _ kind: SMMUv3.Access) {
        access.absent = (address, kind)
        leave()
        engine.makeReady(access)
        engine.pump()
    }

    private func leave() {
        isOver = true
        engine.transferring.removeAll { $0 === access }
        access.transfer = nil
    }

    private func end(_ result: Result<Void, IOMMUError>) {
        leave()
        guard access.result == nil else { return }
        switch result {
        case .failure(let error): access.fail(error)
        case .success:
            switch piece {
            case .read: engine.proceed(access, after: piece, bytes: bytes, checksum: nil)
            case .checksum:
                var sum = CRC32(access.outcome.checksum ?? 0)
                bytes.withUnsafeBytes { sum.update($0) }
                engine.proceed(access, after: piece, bytes: [], checksum: sum.value)
            case .write, .fill, .copy: engine.proceed(access, after: piece, bytes: [], checksum: nil)
            }
        }
        engine.pump()
    }
}

extension IOMMUError {
    static func noMemory(at physicalAddress: UInt64) -> IOMMUError {
        IOMMUError(
            .EFAULT, .noMemoryThere, "no memory lies at physical address \(hexadecimal(physicalAddress))",
            hint: "translate to addresses that memory objects are mapped at",
            ["physical_address": .hex(physicalAddress)])
    }

    static func unreachablePage(at address: UInt64) -> IOMMUError {
        IOMMUError(
            .EFAULT, .pageUnreachable,
            "the process permits the access at \(hexadecimal(address)), and its page cannot be had",
            hint: "touch the memory first; pages that only userfaultfd could fill are out of a device's reach",
            ["address": .hex(address)])
    }
}
