import SMMUv3
import Testing

/// Recorded transactions against the model.
@Suite struct OracleReplayTests {
    @Test(arguments: ["oracle-s1-4k", "oracle-s2-4k", "oracle-nested-4k", "oracle-qtest-s1", "oracle-qtest-s2-sample", "oracle-qtest-nested-sample"])
    func replay(_ name: String) throws {
        let oracle = try Oracle(name)
        var agreed = 0
        var differences: [String: (count: Int, example: String)] = [:]
        for state in oracle.states {
            let smmu = try SMMU(memory: state.memory, identification: oracle.identification)
            for (register, value) in state.registers.sorted(by: { $0.key > $1.key }) {
                guard let register = Register.allCases.first(where: { $0.name == register }), register != .CR0 else {
                    continue
                }
                let v = register == .GBPA ? value | 1 << 31 : value
                try smmu.writeRegister(register.rawValue, width: register.width, value: v)
            }
            try smmu.writeRegister(Register.CR0.rawValue, width: 4, value: state.registers["CR0"] ?? 0)
            for transaction in state.list {
                try smmu.writeRegister(Register.EVENTQ_CONS.rawValue, width: 4, value: smmu.readRegister(Register.EVENTQ_PROD.rawValue, width: 4))
                let ours = smmu.translate(Transaction(streamID: transaction.streamID, address: transaction.address, access: transaction.access))
                let a = describe(ours)
                let b = describe(transaction)
                if a == b { agreed += 1 } else {
                    let key = "\(kind(a)) | \(kind(b))"
                    differences[key, default: (0, "\(transaction.description)\n      ours \(a)\n      qemu \(b)")].count += 1
                }
                try smmu.writeRegister(Register.CMDQ_CONS.rawValue, width: 4, value: 0)
            }
        }
        print("== \(name): agreed \(agreed)")
        for (key, value) in differences.sorted(by: { $0.value.count > $1.value.count }) {
            print("  \(value.count) \(key)   e.g. \(value.example)")
        }
    }

    func kind(_ s: String) -> String { s.split(separator: " ").prefix(2).joined(separator: " ") }
    func hex(_ v: UInt64) -> String { String(v, radix: 16) }

    func describe(_ t: Translation) -> String {
        switch t {
        case .ok(let output): return output.pageSize == 0 ? "bypass" : "ok \(hex(output.address))"
        case .fault(let e, let recorded): return "fault \(e.type!.name) \(recorded ? e.words.map(hex).joined(separator: ",") : "unrecorded")"
        case .stalled: return "stalled"
        case .terminated(let t): return t == .steAbort ? "abort" : "terminated \(t)"
        }
    }

    func describe(_ r: Oracle.Recorded) -> String {
        switch r.type {
        case "ok": return "ok \(hex(r.PA ?? 0))"
        case "bypass": return "bypass"
        case "fault": return "fault \(r.event) \(r.records.isEmpty ? "unrecorded" : r.records[0].map(hex).joined(separator: ","))"
        default: return r.type
        }
    }
}
