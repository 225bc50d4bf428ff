import SMMUv3
import Testing

/// The recorded register file, command queue and caches of a stage 1 SMMU.
@Suite struct OracleRegisterTests {
    private let record: [String: Any]
    private static let words = Identification(
        IDR0: 0xd44_101a, IDR1: 0x273_0010, IDR3: 0x1404, IDR5: 0x74, AIDR: 1)

    init() throws {
        let json = try Oracle.json("oracle-regs")
        let machines = json["machines"] as? [String: Any] ?? [:]
        record = machines["stage=1"] as? [String: Any] ?? [:]
    }

    @Test func identification() throws {
        let smmu = try SMMU(memory: SparseMemory(), identification: Self.words)
        let recorded = Oracle.registers(record["read_after_setup_0x000_0x0fc"])
        #expect(recorded.count == 64)
        for (offset, value) in recorded {
            let offset = UInt32(Oracle.number(offset))
            // The queue bases are what the recorder had set up; CR2 resets to an UNKNOWN value (6.3.12).
            guard ![0x90, 0xa0, 0x2c].contains(offset) else {
                continue
            }
            #expect(try smmu.readRegister(offset, width: 4) == value, "\(String(offset, radix: 16))")
        }
    }

    /// What is written reads back, but for the bits that are Reserved here (QEMU stores them).
    @Test func readBack() throws {
        let smmu = try SMMU(memory: SparseMemory(), identification: Self.words)
        let defined: [UInt32: UInt64] = [
            0x20: 0xd, 0x28: 0xfff, 0x2c: 2, 0x44: 0x1f_3f1f, 0x50: 5, 0x64: 0x105, 0x74: 0, 0x80: 0xffff_ffc0,
            0x84: 0x40ff_ffff, 0x88: 0x3_07ff, 0x90: 0xffff_ffff, 0x94: 0x40ff_ffff, 0xa0: 0xffff_ffff,
            0xa4: 0x40ff_ffff,
        ]
        for (offset, writes) in record["write_readback_smmuen0"] as? [String: [[String: String]]] ?? [:] {
            let offset = UInt32(Oracle.number(offset))
            for write in writes {
                let value = Oracle.number(write["write"] ?? "0x0")
                try smmu.writeRegister(offset, width: 4, value: value)
                let expected = Oracle.number(write["read"] ?? "0x0") & (defined[offset] ?? 0)
                #expect(try smmu.readRegister(offset, width: 4) == expected, "\(String(offset, radix: 16)) \(write)")
                #expect(try smmu.readRegister(0x24, width: 4) == smmu.readRegister(0x20, width: 4))
            }
            if [0x20, 0x50].contains(offset) {
                try smmu.writeRegister(offset, width: 4, value: 0)
            }
        }
    }

    @Test func everyOpcode() throws {
        let recorded = record["commands"] as? [String: [String: Any]] ?? [:]
        #expect(recorded.count == 282)
        for (name, result) in recorded {
            let parts = name.split(separator: "/")
            let opcode = Oracle.number(String(parts[0]))
            let SSec = parts[1] == "ssec"
            let machine = try Machine(Self.words)
            try machine.submit(Command(word0: opcode | (SSec ? 1 << 10 : 0), word1: 0))
            let wasConsumed = machine.commandError == 0
            if Self.isIllegal(opcode, SSec: SSec) {
                #expect(!wasConsumed && machine.commandError == 1, "\(name)")
            } else {
                #expect(wasConsumed == (result["consumed"] as? Bool), "\(name)")
            }
        }
    }

    /// Commands that QEMU consumes and the architecture calls ILLEGAL on this SMMU.
    private static func isIllegal(_ opcode: UInt64, SSec: Bool) -> Bool {
        switch opcode {
        case 0x01 where SSec, 0x02 where SSec: true  // SSec on the Non-secure queue (4.1.6)
        case 0x18, 0x1a: true  // EL3 is for the Secure queue (4.4.2.5)
        case 0x20...0x23: true  // IDR0.Hyp = 0 (4.4.2.7)
        case 0x40: true  // IDR0.ATS = 0 (4.5.1)
        case 0x41: true  // IDR0.PRI = 0 (4.5.2)
        case 0x44, 0x45: true  // IDR0.STALL_MODEL = 0b01 (4.7.1)
        default: false
        }
    }

    /// Steps of the recorded cache test; the two last differ, as QEMU forgets APTable on a TLB hit.
    @Test func caching() throws {
        let steps = (record["caching"] as? [[String: String]] ?? []).compactMap { $0["result"] }
        let machine = try Machine(Self.words, geometry: .standard)
        let root = machine.allocate()
        let cd = machine.allocate()
        machine.set(machine.context(root, asid: 1), at: cd)
        machine.set(machine.stage1(cd), stream: 1)
        func result(_ access: Access = .read) -> String {
            let translation = machine.translate(0x1000, access)
            return translation.address.map { "ok 0x\(String($0, radix: 16))" } ?? translation.type?.name ?? ""
        }
        func map(_ output: UInt64) { machine.map(root, 0x1000, output) }
        var results: [String] = []
        map(0x4100_0000)
        results.append(result())
        map(0x4200_0000)
        results.append(result())
        for command in [
            Command.TLBI_NH_VA(address: 0x9000, asid: 1), .TLBI_NH_VA(address: 0x1000, asid: 2),
            .TLBI_NH_VA(address: 0x1000, asid: 1),
        ] {
            try machine.submit(command)
            results.append(result())
        }
        map(0x4300_0000)
        for command in [Command.TLBI_NH_ASID(asid: 2), .TLBI_NH_ASID(asid: 1)] {
            try machine.submit(command)
            results.append(result())
        }
        let leaf = machine.map(root, 0x1000, 0x4300_0000)
        machine.memory[leaf] = 0
        results.append(result())
        try machine.submit(.TLBI_NH_VAA(address: 0x1000))
        results.append(result())
        map(0x4100_0000)
        results.append(result())
        machine.set(machine.context(machine.allocate(), asid: 1), at: cd)
        results.append(result())
        try machine.submit(.CFGI_CD(streamID: 1, substreamID: 0))
        results.append(result())
        try machine.submit(.TLBI_NSNH_ALL())
        results.append(result())
        machine.set(StreamTableEntry(), stream: 1)
        results.append(result())
        try machine.submit(.CFGI_STE(streamID: 2))
        results.append(result())
        try machine.submit(.CFGI_STE(streamID: 1))
        results.append(result())
        #expect(results == Array(steps.prefix(16)))
    }
}
