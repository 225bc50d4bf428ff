import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// The accelerator at work: takes descriptors from a ring in memory, does what they say, and says so, all by DMA
/// through the SMMU. One after the other, and none of it waits: an access that stalls for a page holds up this queue
/// alone.
final class DescriptorQueue {
    private enum Operation {
        static let (nothing, copy, fill): (UInt8, UInt8, UInt8) = (0, 1, 2)
    }

    private typealias Completion = (Result<JSONValue, RPCError>) -> Void

    /// Bytes of a descriptor, and how many of them the function writes, from where on.
    private static let descriptorBytes = 64
    private static let statusOffset: UInt64 = 40
    /// Bytes in one access.
    private static let piece: UInt64 = 65_536
    /// Of the doorbells: what software has added, and what is done.
    private static let (tailOffset, headOffset) = (0x00, 0x40)

    private unowned let supervisor: Supervisor
    private let device: DeviceName
    private let settings: QueueSettings
    private let doorbells: UnsafeMutableRawPointer
    private let raise: (Int) -> Void
    private let link: SessionLink
    private var waiting: (id: Int, then: Completion)?
    private var isOver = false
    /// Descriptors that are done; counts on and on.
    private(set) var head: UInt32 = 0
    /// Bit 0: at work; bit 1: the ring cannot be read, the queue has stopped.
    private(set) var status: UInt32 = 0
    /// The errno of the last access that failed.
    private(set) var error: UInt32 = 0

    init(
        _ supervisor: Supervisor, _ device: DeviceName, _ settings: QueueSettings, _ doorbells: UnsafeMutableRawPointer,
        raise: @escaping (Int) -> Void
    ) throws(Refusal) {
        (self.supervisor, self.device, self.settings) = (supervisor, device, settings)
        (self.doorbells, self.raise) = (doorbells, raise)
        do {
            link = try SessionLink(path: supervisor.socketPath, session: device.context.session)
        } catch {
            throw Refusal(EIO, note: "the daemon does not answer: \(error)")
        }
        supervisor.watch(link.descriptor) { [weak self] in self?.replyCame() }
        supervisor.startPolling(self)
    }

    /// What has been begun is abandoned.
    func end() {
        guard !isOver else { return }
        isOver = true
        waiting = nil
        supervisor.unwatch(link.descriptor)
        supervisor.stopPolling(self)
    }

    // MARK: Descriptors

    /// Takes the next descriptor, if software has added any.
    ///
    /// - Returns: whether there is work.
    @discardableResult
    func look() -> Bool {
        guard !isOver, status & 2 == 0 else { return false }
        guard status & 1 == 0 else { return true }
        let tail = clinux_load32(doorbells + Self.tailOffset)
        guard tail != head else { return false }
        // More than fit into the ring were never written.
        guard tail &- head <= settings.entries else {
            stop(EINVAL)
            return false
        }
        status |= 1
        supervisor.startPolling(self)
        let place = settings.base &+ UInt64(head & (settings.entries - 1)) * UInt64(Self.descriptorBytes)
        read(place, UInt64(Self.descriptorBytes), pasid: nil) { [self] result in
            switch result {
            case .success(let bytes): perform(ArgumentBytes(bytes), at: place)
            case .failure(let error): stop(error.errno)
            }
        }
        return true
    }

    private func stop(_ errno: Int32) {
        (status, error) = (2, UInt32(errno))
        if Int(settings.vector) < AcceleratorFunction.vectors { raise(Int(settings.vector)) }
    }

    private func perform(_ descriptor: ArgumentBytes, at place: UInt64) {
        let pasidWord = descriptor[word32: 4]
        let pasid = pasidWord >> 31 == 0 ? nil : pasidWord & 0xf_ffff
        let (source, target) = (descriptor[word64: 8], descriptor[word64: 16])
        let length = descriptor[word64: 24]
        let done: (Result<UInt64, RPCError>) -> Void = { [self] in finish(descriptor, at: place, $0) }
        switch descriptor[word8: 0] {
        case Operation.nothing: done(.success(0))
        case Operation.copy: copy(source, target, length, done: 0, pasid, done)
        case Operation.fill: fill(target, length, descriptor[word8: 32], done: 0, pasid, done)
        default:
            done(.failure(RPCError(errno: EOPNOTSUPP, reason: "operation", message: "no such operation")))
        }
    }

    private func copy(
        _ source: UInt64, _ target: UInt64, _ length: UInt64, done: UInt64, _ pasid: UInt32?,
        _ then: @escaping (Result<UInt64, RPCError>) -> Void
    ) {
        guard done < length else { return then(.success(done)) }
        let count = min(length - done, Self.piece)
        read(source &+ done, count, pasid: pasid) { [self] result in
            switch result {
            case .failure(let error): then(.failure(error))
            case .success(let bytes):
                write(target &+ done, bytes, pasid: pasid) { [self] refusal in
                    if let refusal { return then(.failure(refusal)) }
                    copy(source, target, length, done: done + count, pasid, then)
                }
            }
        }
    }

    private func fill(
        _ target: UInt64, _ length: UInt64, _ value: UInt8, done: UInt64, _ pasid: UInt32?,
        _ then: @escaping (Result<UInt64, RPCError>) -> Void
    ) {
        guard done < length else { return then(.success(done)) }
        let count = min(length - done, Self.piece)
        write(target &+ done, [UInt8](repeating: value, count: Int(count)), pasid: pasid) { [self] refusal in
            if let refusal { return then(.failure(refusal)) }
            fill(target, length, value, done: done + count, pasid, then)
        }
    }

    /// Says in the descriptor what has come of it, then in the doorbells, then by an interrupt.
    private func finish(_ descriptor: ArgumentBytes, at place: UInt64, _ result: Result<UInt64, RPCError>) {
        var answer = ArgumentBytes([UInt8](repeating: 0, count: 16))
        switch result {
        case .success(let bytes):
            answer[word32: 0] = 1
            answer[word64: 8] = bytes
        case .failure(let refusal):
            error = UInt32(refusal.errno)
            answer[word32: 0] = 2
            answer[word32: 4] = UInt32(refusal.errno)
            let event = refusal.details.first { $0.key == "event" }?.value
            answer[word64: 8] = event?["address"]?.unsignedValue ?? 0
        }
        write(place &+ Self.statusOffset, answer.bytes, pasid: nil) { [self] refusal in
            if let refusal { return stop(refusal.errno) }
            head &+= 1
            status &= ~1
            clinux_store32(doorbells + Self.headOffset, head)
            if descriptor[word8: 1] & 1 != 0, Int(settings.vector) < AcceleratorFunction.vectors {
                raise(Int(settings.vector))
            }
            look()
        }
    }

    // MARK: Accesses

    private func read(
        _ address: UInt64, _ count: UInt64, pasid: UInt32?, _ then: @escaping (Result<[UInt8], RPCError>) -> Void
    ) {
        request("dma.read", address, pasid, ("length", .count(count))) { result in
            then(
                result.flatMap { answer in
                    guard let bytes = answer["data"]?.stringValue.flatMap(Base64Text.decode), bytes.count == Int(count)
                    else {
                        return .failure(
                            RPCError(errno: EIO, reason: "data", message: "the daemon answers without data"))
                    }
                    return .success(bytes)
                })
        }
    }

    private func write(
        _ address: UInt64, _ bytes: [UInt8], pasid: UInt32?, _ then: @escaping (RPCError?) -> Void
    ) {
        request("dma.write", address, pasid, ("data", .string(Base64Text.encode(bytes)))) { result in
            switch result {
            case .success: then(nil)
            case .failure(let error): then(error)
            }
        }
    }

    private func request(
        _ method: String, _ address: UInt64, _ pasid: UInt32?, _ what: (String, JSONValue), _ then: @escaping Completion
    ) {
        do throws(Refusal) {
            let id = try link.send(
                method,
                [
                    ("device", .count(UInt64(device.id))), ("pasid", pasid.map { .count(UInt64($0)) }),
                    ("iova", .hex(address)), what,
                ])
            waiting = (id, then)
        } catch {
            stop(error.errno)
        }
    }

    private func replyCame() {
        do throws(Refusal) {
            let message = try link.nextMessage()
            guard let waiting, message["id"]?.intValue == waiting.id else { return }
            self.waiting = nil
            if let error = message["error"] {
                waiting.then(.failure(RPCError(reply: error)))
            } else {
                waiting.then(.success(message["result"] ?? .null))
            }
        } catch {
            stop(error.errno)
            end()
        }
    }
}
