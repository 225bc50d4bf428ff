import IOMMU
import IOMMUObjects
import SMMUv3
import TestSupport
import Testing

@testable import BareSMMU

/// The register traffic of Linux's driver, as a VMM passes it on, and what the VMM is told of it.
@Suite struct RecordedDriverTests {
    /// Of a queue with room for all that a driver wrote.
    private static let queueBits: UInt64 = 18
    /// What depends on the events that there were; and CR2, which QEMU keeps as written: without IDR0.BTM PTM is RES0.
    private static let ownRegisters: Set<String> = ["EVENTQ_PROD", "EVENTQ_CONS", "CR2"]
    /// Names of what was poked into a structure for one transaction, which nobody invalidated.
    private static let pokes = ["STE", "CD", "PTE", "TABLE", "STE2", "S2PTE", "S2TABLE", "L1STD"]

    /// A guest that does what was recorded, and its VMM, which keeps all that it may.
    private final class Machine {
        let laboratory: Laboratory
        let vsmmu: ObjectID
        private let memory: MemoryObject
        private let base: UInt64
        private var written: [UInt64: UInt64] = [:]
        private var producer: UInt64 = 0
        private let hasStage2: Bool
        private let hasSEV: Bool
        /// Both stages translate at once.
        private let isNested: Bool
        var vmm = CachingVMM(knowsTags: false)
        private(set) var told = 0

        init(_ json: Recording.Object, hasSEV: Bool) throws {
            self.hasSEV = hasSEV
            laboratory = try Laboratory()
            let words = Recording.objects(json["regs"])[0]
            var overrides: [IDRegister: UInt32] = [:]
            for register in IDRegister.allCases {
                overrides[register] = UInt32(Recording.number(words[register.rawValue]))
            }
            if hasSEV { overrides[.IDR0, default: 0] |= 1 << 14 }
            hasStage2 = overrides[.IDR0, default: 0] & 1 != 0
            isNested = overrides[.IDR0, default: 0] & 3 == 3
            let ram = json["ram"] as? Recording.Object ?? [:]
            base = Recording.number(ram["base"])
            let size = Recording.number(ram["size"])
            let context = laboratory.context
            let id = try context.createMemory(size: size, name: nil, huge: false)
            memory = try context.memory(id)
            vsmmu = try context.models.createVSMMU(overrides: overrides)
            try context.models.mapVSMMUMemory(vsmmu, memory: id, offset: 0, length: size, gpa: base)
        }

        private func store(_ address: UInt64, _ value: UInt64) { _ = memory.store64(offset: address - base, value) }

        func setMemory(_ words: [UInt64: UInt64]) {
            for address in written.keys where words[address] == nil { store(address, 0) }
            for (address, value) in words { store(address, value) }
            written = words
        }

        /// One register write, and the commands that it makes visible; the VMM hears exactly what they ask for.
        func write(_ offset: UInt64, _ value: UInt64, size: Int, _ commands: inout ArraySlice<RecordedCommand>) throws {
            var due: [RecordedCommand] = []
            if offset == 0x98 {
                let mask: UInt64 = 2 << RecordedDriverTests.queueBits - 1
                let count = Int((value &- producer) & mask)
                due = Array(commands.prefix(count))
                commands = commands.dropFirst(count)
                for command in due {
                    let entry = try queue + (producer & (mask >> 1)) * 16
                    store(entry, command.words.0)
                    store(entry + 8, command.words.1)
                    producer = (producer + 1) & mask
                }
            }
            // QEMU's log has the queues of page 1 at their offset in it.
            let place = offset == 0xa8 || offset == 0xac ? offset + 0x10000 : offset
            var heard: [BareSMMUNotice] = []
            try laboratory.context.models.write(vsmmu, offset: place, size: size, value) { heard += $0 }
            vmm.hear(heard)
            told += heard.count
            guard offset == 0x98 else { return }
            guard !isNested else { return expect(heard, toCover: due) }
            let wanted = RecordedCommand.notices(of: due, hasStage2: hasStage2, hasSEV: hasSEV)
            #expect(Self.merged(heard) == wanted, "\(due.map(\.words))")
        }

        /// Where stage 2 maps a leaf of stage 1 in pieces, ranges are as large as that leaf, and never smaller.
        private func expect(_ heard: [BareSMMUNotice], toCover commands: [RecordedCommand]) {
            for command in commands {
                guard case .invalidate(var wanted)? = command.notice(hasStage2: hasStage2) else { continue }
                let isCovered = heard.contains { notice in
                    guard case .invalidate(let found) = notice else { return false }
                    guard let inner = wanted.addresses, let outer = found.addresses else { return found == wanted }
                    guard outer.contains(inner.lowerBound), outer.contains(inner.upperBound) else { return false }
                    wanted.addresses = outer
                    defer { wanted.addresses = inner }
                    return found == wanted
                }
                #expect(isCovered, "\(command.words)")
            }
            let events = hasSEV ? commands.count(where: \.sendsEvent) : 0
            #expect(heard.count { $0 == .event } == events)
        }

        /// What was told in several portions may be cut where a CMD_SYNC waited.
        private static func merged(_ notices: [BareSMMUNotice]) -> [BareSMMUNotice] {
            var queue = NoticeQueue()
            for notice in notices { queue.add(notice) }
            return queue.take()
        }

        private var queue: UInt64 {
            get throws {
                try laboratory.context.models.mmioRead(vsmmu, offset: 0x90, size: 8) & 0xf_ffff_ffff_ffe0
            }
        }

        func read(_ register: Register) throws -> UInt64 {
            try laboratory.context.models.mmioRead(
                vsmmu, offset: UInt64(register.rawValue), size: register.width)
        }

        /// Where an access goes, as the VMM knows it; nil: nowhere.
        func translate(_ transaction: TransactionRequest) throws -> UInt64? {
            if let kept = vmm.find(transaction) { return kept }
            let result = try laboratory.context.models.translateVSMMU(vsmmu, transaction)
            guard case .translated(let output) = result.outcome else { return nil }
            vmm.keep(transaction, output, .init(asid: nil, vmid: 0, isGlobal: false))
            return output.address
        }
    }

    /// Registers, what is told, and where each access goes while nothing but the driver's own commands takes anything
    /// out of any cache.
    @Test(arguments: ["oracle-s1-4k", "oracle-s2-4k", "oracle-nested-4k"], [false, true])
    func aVMMIsToldWhatTheDriverAsks(file: String, hasSEV: Bool) throws {
        let json = try Recording.json(file)
        let machine = try Machine(json, hasSEV: hasSEV)
        let transactions = Recording.objects(json["tx"])
        let registers = Recording.objects(json["regs"])
        var next = transactions[...]
        var checked = 0
        for scene in Recording.objects(json["scenes"]) {
            var commands = (scene["cmds_since_last_scene"] as? [Any] ?? []).map(Recording.command)[...]
            for write in scene["mmio_writes_since_last_scene"] as? [[Any]] ?? [] {
                try machine.write(
                    Recording.number(write[0]), Recording.number(write[1]), size: write[2] as? Int ?? 4, &commands)
            }
            #expect(commands.isEmpty)
            try expect(registers[scene["regs"] as? Int ?? 0], of: machine, hasSEV: hasSEV)
            while let item = next.first, item["scene"] as? String == scene["name"] as? String {
                next = next.dropFirst()
                let what = (item["what"] as? String)?.split(separator: ":").first.map(String.init) ?? ""
                guard !Self.pokes.contains(what) else { continue }
                machine.setMemory(Recording.memory(json, item["mem"] as? Int ?? 0))
                try expect(item, of: machine)
                checked += 1
            }
        }
        #expect(next.isEmpty && checked > 100 && machine.told > 700 && machine.vmm.hits > 0)
    }

    private func expect(_ registers: Recording.Object, of machine: Machine, hasSEV: Bool) throws {
        for register in Register.allCases where !Self.ownRegisters.contains(register.name) {
            guard let recorded = registers[register.name] else { continue }
            let own: UInt64 = hasSEV && register == .IDR0 ? 1 << 14 : 0
            #expect(try machine.read(register) == Recording.number(recorded) | own, "\(register)")
        }
    }

    private func expect(_ item: Recording.Object, of machine: Machine) throws {
        let result = item["result"] as? Recording.Object ?? [:]
        let iova = Recording.number(item["iova"])
        let transaction = TransactionRequest(
            streamID: UInt32(Recording.number(item["sid"])), pasid: nil, address: iova,
            access: item["access"] as? String == "w" ? .write : .read, privileged: false)
        let wanted: UInt64? =
            switch result["type"] as? String {
            case "ok": Recording.number(result["pa"])
            case "bypass": iova
            default: nil
            }
        #expect(try machine.translate(transaction) == wanted, "\(item)")
    }

    /// Every command of Linux 7.2 in 560 steps: ranges, ATS, PASIDs, stage 2, as the VMM of an SMMU with all of it
    /// hears them.
    @Test func everyRecordedCommandIsTold() throws {
        let guest = try BareGuest(.full)
        var heard: [BareSMMUNotice] = []
        guest.tell = { heard += $0 }
        try guest.enable(streamTable: try guest.page(), configuration: 0)
        var (commands, told) = (0, 0)
        for step in Recording.objects(try Recording.json("arm-commands-7.2")["steps"]) {
            let all = (step["commands"] as? [Any] ?? []).map(Recording.command)
            for start in stride(from: 0, to: all.count, by: 100) {
                let some = Array(all[start..<min(start + 100, all.count)])
                heard = []
                try guest.issue(some.map { Command(word0: $0.words.0, word1: $0.words.1) })
                var queue = NoticeQueue()
                for notice in heard { queue.add(notice) }
                let wanted = RecordedCommand.notices(of: some, hasStage2: true, hasSEV: false)
                #expect(queue.take() == wanted, "\(step["id"] ?? "")")
                (commands, told) = (commands + some.count, told + wanted.count)
            }
        }
        #expect(try guest.read(.GERROR) == 0 && guest.read(.CMDQ_CONS) == guest.read(.CMDQ_PROD))
        #expect(commands == 4087 && told > 1000)
    }
}
