import IOMMU
import SMMUv3

/// What a device does to memory in one go.
package enum DeviceOperation {
    /// Reads `length` bytes at an address.
    case read(UInt64, length: UInt64)
    case write(UInt64, [UInt8])
    /// Ranges that overlap behave as with `memmove`.
    case copy(from: UInt64, to: UInt64, length: UInt64)
    case fill(UInt64, length: UInt64, value: UInt8)
    /// The CRC-32 (IEEE 802.3, as in zlib) of a range.
    case checksum(UInt64, length: UInt64)

    /// Bytes that count as completed once it is through.
    var length: UInt64 {
        switch self {
        case .read(_, let length), .copy(_, _, let length), .fill(_, let length, _), .checksum(_, let length): length
        case .write(_, let bytes): UInt64(bytes.count)
        }
    }

    /// Where it begins, at its source if it has one.
    var start: UInt64 {
        switch self {
        case .read(let address, _), .write(let address, _), .fill(let address, _, _), .checksum(let address, _),
            .copy(let address, _, _):
            address
        }
    }
}

/// What came of a ``DeviceOperation``.
package struct DeviceOutcome: Sendable, Equatable {
    /// What was read.
    package var bytes: [UInt8] = []
    /// Bytes that are through.
    package var completed: UInt64 = 0
    /// Only of a checksum.
    package var checksum: UInt32?
}

/// One operation of a device on its way through the SMMU.
///
/// Long operations go in pieces. A piece is translated from its first to its last byte in one go; what waited for a
/// fault starts over, so that no translation is used that was invalidated meanwhile.
package final class DeviceAccess {
    /// A contiguous range of one piece and what is done there.
    struct Span {
        var address: UInt64
        var length: UInt64
        var access: SMMUv3.Access
    }

    /// Where a piece of a span lies in physical memory.
    struct Segment {
        var address: UInt64
        var length: UInt64
    }

    let id: AccessID
    let owner: StallOwner
    let streamID: UInt32
    let pasid: UInt32?
    let operation: DeviceOperation
    /// Whether the device's ATS is on: it asks for translations, and keeps them.
    let usesATS: () -> Bool
    /// Whether somebody resolves page requests of this device and PASID.
    let usesPageRequests: Bool
    /// Says in the client's terms why a transaction was terminated without a record.
    let reason: (Termination) -> Reason
    /// Whether the address space that it works on has ended.
    let isQuiesced: () -> Bool
    /// Tells what lies behind its faults; nil: nobody asks.
    let causes: FaultCauses?
    /// Set once the caller has been told that it has to wait.
    var completion: ((Result<DeviceOutcome, IOMMUError>) -> Void)?
    private(set) var result: Result<DeviceOutcome, IOMMUError>?
    var outcome = DeviceOutcome()
    /// Bytes that are translated and moved in one go.
    private var pieceLength: UInt64
    /// Bytes that it may still move before others get their turn.
    private var allowance = DeviceAccess.movedAtOnce
    /// It has been promised its next turn.
    var takesTurns = false
    /// How often the present piece was started.
    var attempts = 0
    /// Where a page could not be had the last time.
    var unreachable: UInt64?
    /// Where a process has no page for a mapping any more: the next translation of it fails.
    var absent: (address: UInt64, kind: SMMUv3.Access)?
    /// Why the fault that it waits for is refused, if it is not what the process permits.
    var cause: IOMMUError?
    /// Its place in line while it waits for one among the stalls.
    var ticket: UInt64?
    /// Set while a worker moves data, so that it can be stopped between two chunks.
    var transfer: (any DataTransfer)?

    init(
        id: AccessID, owner: StallOwner, streamID: UInt32, pasid: UInt32?, operation: DeviceOperation,
        usesATS: @escaping () -> Bool = { false }, usesPageRequests: Bool,
        isQuiesced: @escaping () -> Bool = { false }, causes: FaultCauses? = nil,
        reason: @escaping (Termination) -> Reason
    ) {
        self.id = id
        self.owner = owner
        self.streamID = streamID
        self.pasid = pasid
        self.operation = operation
        switch operation {
        case .read, .write: pieceLength = Self.pieceLength
        case .copy, .fill, .checksum: pieceLength = Self.pieceInTurns
        }
        self.usesATS = usesATS
        self.usesPageRequests = usesPageRequests
        self.reason = reason
        self.isQuiesced = isQuiesced
        self.causes = causes
    }

    /// What it hears of a fault that was recorded.
    func failure(_ record: EventRecord, at address: UInt64) -> IOMMUError {
        var fault = FaultDescription(record, address: address)
        fault.cause = causes?.of(record, at: address)
        return fault.error
    }

    /// Whether it still waits under a ticket.
    func waits(ticket: UInt64) -> Bool { self.ticket == ticket && result == nil }

    /// Settles it as failed, as `finish` does.
    func fail(_ error: IOMMUError) { finish(.failure(error)) }

    /// Settles it once; whatever comes later changes nothing. A failure says how much is through, if anything is.
    func finish(_ result: Result<DeviceOutcome, IOMMUError>) {
        guard self.result == nil else { return }
        let completed = outcome.completed
        let result = completed == 0 ? result : result.mapError { $0.with("completed", .number(completed)) }
        self.result = result
        transfer?.cancel()
        transfer = nil
        let completion = completion
        self.completion = nil
        completion?(result)
    }
}

// MARK: - Pieces

extension DeviceAccess {
    /// Bytes that are translated and moved in one go, at most.
    static var pieceLength: UInt64 { 1 << 20 }
    /// The same where the loop itself moves them: with all pages still to be made, some hundreds of microseconds.
    static var pieceInTurns: UInt64 { 256 << 10 }
    /// Bytes that an access moves before it goes on in turns.
    static var movedAtOnce: UInt64 { 512 << 10 }

    /// What moving so many bytes takes, for ``TurnBudget``.
    static func units(_ bytes: UInt64) -> Int { Int(max(bytes >> 9, 1)) }

    /// Its pieces are as long as can be from now on. - Returns: whether the next one is longer than `length` then.
    func lengthensPieces(beyond length: UInt64) -> Bool {
        pieceLength = Self.pieceLength
        return piece.length > length
    }

    /// Whether the next piece follows at once. - Parameter bytes: of the piece that is through.
    func mayGoOn(after bytes: UInt64) -> Bool {
        allowance = allowance > bytes ? allowance - bytes : 0
        return allowance > 0
    }

    /// One piece may follow.
    func beginTurn() { allowance = 1 }

    /// The operation that is next; the whole one if it is short.
    var piece: DeviceOperation {
        let done = outcome.completed
        let count = min(operation.length - done, pieceLength)
        switch operation {
        case .read(let address, _): return .read(address &+ done, length: count)
        case .write(let address, let bytes):
            if done == 0, count == UInt64(bytes.count) { return operation }
            return .write(address &+ done, Array(bytes[Int(done)..<Int(done + count)]))
        case .fill(let address, _, let value): return .fill(address &+ done, length: count, value: value)
        case .checksum(let address, _): return .checksum(address &+ done, length: count)
        case .copy(let source, let target, let length):
            // The end first where a forward copy would overwrite what it has not read yet.
            let start = target > source && target - source < length ? length - done - count : done
            return .copy(from: source &+ start, to: target &+ start, length: count)
        }
    }

    /// The ranges the present piece touches: what is read, then what is written.
    func spans(of piece: DeviceOperation) -> (source: Span?, target: Span?) {
        switch piece {
        case .read(let address, let length), .checksum(let address, let length):
            (Span(address: address, length: length, access: .read), nil)
        case .write(let address, let bytes):
            (nil, Span(address: address, length: UInt64(bytes.count), access: .write))
        case .fill(let address, let length, _):
            (nil, Span(address: address, length: length, access: .write))
        case .copy(let source, let target, let length):
            (
                Span(address: source, length: length, access: .read),
                Span(address: target, length: length, access: .write)
            )
        }
    }

    /// Accounts for a finished piece; true if it was the last.
    func advance(_ piece: DeviceOperation, bytes: [UInt8], checksum: UInt32?) -> Bool {
        if case .read = piece {
            if outcome.bytes.isEmpty { outcome.bytes = bytes } else { outcome.bytes += bytes }
        }
        if let checksum { outcome.checksum = checksum }
        outcome.completed += piece.length
        attempts = 0
        return outcome.completed == operation.length
    }

    /// How often a piece may be started before its faults count as unresolvable.
    func attemptLimit(of piece: DeviceOperation) -> Int { 64 + 4 * Int(piece.length >> 12) }
}
