import Glibc
import JSONRPC
import SMMUv3

/// Guest memory of this program, and SMMUs of the daemon that work in it.
final class GuestMachine {
    private let daemon: Daemon
    private let memory: SharedMemory
    private let base: UInt64
    private let memoryID: JSONValue?
    private var written: [Recording.Write] = []

    init(daemon: Daemon, recording: Recording) throws(Failure) {
        self.daemon = daemon
        base = recording.memory.base
        guard let size = Int(exactly: recording.memory.size) else { throw .usage("the recorded memory is too large") }
        memory = try SharedMemory(name: "iommuctl-replay", size: size)
        memoryID = try daemon.call("memory.import", descriptors: [memory.descriptor])["memory"]
    }

    /// Replaces the memory, makes a fresh SMMU with the state's registers, and runs `body` on it.
    func run(
        _ state: Recording.State, _ identification: [String: UInt64], _ body: (VirtualSMMU) throws(Failure) -> Void
    ) throws(Failure) {
        for old in written { put(old.address, [UInt8](repeating: 0, count: old.bytes.count)) }
        for new in state.memory { put(new.address, new.bytes) }
        written = state.memory
        let words = identification.sorted { $0.key < $1.key }
        let idr = JSONValue.object(words.map { JSONValue.Member(key: $0.key, value: .hex($0.value)) })
        let smmu = VirtualSMMU(daemon: daemon, id: try daemon.call("vsmmu.create", ["idr": idr])["vsmmu"])
        _ = try daemon.call(
            "vsmmu.memory",
            [
                "vsmmu": smmu.id, "memory": memoryID, "offset": .hex(0), "length": .hex(UInt64(memory.size)),
                "gpa": .hex(base),
            ])
        try smmu.bringUp(state.registers)
        try body(smmu)
        _ = try daemon.call("vsmmu.destroy", ["vsmmu": smmu.id])
    }

    private func put(_ address: UInt64, _ bytes: [UInt8]) {
        guard address >= base, let offset = Int(exactly: address - base), offset < memory.size else { return }
        _ = pwrite(memory.descriptor, bytes, min(bytes.count, memory.size - offset), off_t(offset))
    }
}

/// A bare SMMUv3 of the daemon that this program drives.
struct VirtualSMMU {
    fileprivate let daemon: Daemon
    let id: JSONValue?

    /// Writes recorded registers, CR0 last, as a driver would.
    func bringUp(_ registers: [String: UInt64]) throws(Failure) {
        for register in Register.allCases where register != .CR0 {
            guard let value = registers[register.name] else { continue }
            // GBPA takes a value only together with its Update bit.
            try write(register, value | (register == .GBPA ? 1 << 31 : 0))
        }
        try write(.CR0, registers[Register.CR0.name] ?? 0)
    }

    /// Runs one transaction; the event queue is emptied before, so that its record has room.
    func translate(_ transaction: Recording.Transaction) throws(Failure) -> Outcome {
        let PROD = try daemon.call(
            "vsmmu.mmio_read",
            ["vsmmu": id, "offset": .integer(Int(Register.EVENTQ_PROD.rawValue)), "size": .integer(4)])
        try write(.EVENTQ_CONS, PROD["value"]?.unsignedValue ?? 0)
        return Outcome(
            answer: try daemon.call(
                "vsmmu.translate",
                [
                    "vsmmu": id, "stream_id": .count(transaction.streamID), "iova": .hex(transaction.address),
                    "access": .string(transaction.isWrite ? "write" : "read"),
                ]))
    }

    private func write(_ register: Register, _ value: UInt64) throws(Failure) {
        _ = try daemon.call(
            "vsmmu.mmio_write",
            [
                "vsmmu": id, "offset": .integer(Int(register.rawValue)), "size": .integer(Int(register.width)),
                "value": .hex(value),
            ])
    }
}
