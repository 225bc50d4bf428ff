import SMMUv3
import Testing

/// Misses that follow misses like them say the same as the first miss of all.
@Suite struct QuickNestedWalkTests {
    /// What is peculiar about a page after a run of plain ones.
    enum Peculiarity: CaseIterable {
        case nothing, block, stage2Block, global, otherType, otherStage2Type, readOnly, stage2ReadOnly, noAccessFlag
        case noStage2AccessFlag, invalid, reserved, stage2Invalid, stage2Reserved, outputBeyondIPS, outputBeyondS2
        case outputBeyondS2PS, readOnlyTable, tableBeyondIPS, tableUnreadable, tableWithoutAccessFlag, tableInDevice
        case tableInvalid, tableReserved
    }

    /// Stream 1 nested, with plain pages at 2^38, and one that may not be plain 2 MiB above.
    private struct Subject {
        static let plain: UInt64 = 0x40_0000_0000
        static let peculiar: UInt64 = 0x40_0020_3000
        let machine: Machine
        /// The start tables of both stages.
        let first: UInt64
        let root: UInt64

        init(_ peculiarity: Peculiarity, protectsWalks: Bool) throws {
            machine = try Machine()
            root = machine.allocate(8192)
            first = machine.allocate()
            let cd = machine.allocate()
            for page in stride(from: UInt64(0x100_0000), to: 0x110_0000, by: 4096) {
                machine.map(root, page, page, Machine.stage2Page, start: 1)
            }
            machine.set(machine.context(first), at: cd)
            var ste = machine.stage2(root)
            (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, cd)
            ste.S2PTW = protectsWalks
            machine.set(ste, stream: 1)
            for page in stride(from: UInt64(0), to: 0x4000, by: 4096) {
                machine.map(first, Self.plain + page, 0x9000_0000 + page)
                machine.map(root, 0x9000_0000 + page, 0xa000_0000 + page, Machine.stage2Page, start: 1)
            }
            let leaf = machine.map(first, Self.peculiar, 0x9020_3000)
            let second = machine.map(root, 0x9020_3000, 0xa020_3000, Machine.stage2Page, start: 1)
            // Where the walk finds the table of the leaf, and what stage 2 says of it.
            let parent = machine.map(first, Self.peculiar, 0, 0, leaf: 2)
            machine.memory[parent] = leaf & ~0xfff | 3
            let table = machine.map(root, leaf & ~0xfff, leaf & ~0xfff, Machine.stage2Page, start: 1)
            apply(peculiarity, leaf: leaf, second: second, parent: parent, table: table)
        }

        private func apply(_ peculiarity: Peculiarity, leaf: UInt64, second: UInt64, parent: UInt64, table: UInt64) {
            let memory = machine.memory
            switch peculiarity {
            case .nothing: break
            case .block: memory[parent] = 0x9020_0000 | Machine.page | 1
            case .stage2Block: replaceWithBlock(second)
            case .global: memory[leaf] &= ~PageDescriptor.nG
            case .otherType: memory[leaf] |= PageDescriptor.AttrIndx(1)
            case .otherStage2Type: memory[second] &= ~PageDescriptor.MemAttr(0b1010)
            case .readOnly: memory[leaf] |= PageDescriptor.AP2
            case .stage2ReadOnly: memory[second] &= ~PageDescriptor.S2AP1
            case .noAccessFlag: memory[leaf] &= ~PageDescriptor.AF
            case .noStage2AccessFlag: memory[second] &= ~PageDescriptor.AF
            case .invalid: memory[leaf] = 0
            case .reserved: memory[leaf] &= ~2
            case .stage2Invalid: memory[second] = 0
            case .stage2Reserved: memory[second] &= ~2
            case .outputBeyondIPS: memory[leaf] |= 1 << 45
            case .outputBeyondS2:
                memory[leaf] |= 1 << 41
                // What a walk finds that goes on behind the start table.
                memory[root + (1 << 41 | 0x9020_3000) >> 30 * 8] = memory[root + 0x9020_3000 >> 30 * 8]
            case .outputBeyondS2PS: memory[second] |= 1 << 45
            case .readOnlyTable: memory[parent] |= PageDescriptor.APTable1
            case .tableBeyondIPS: memory[parent] |= 1 << 45
            case .tableUnreadable: memory[table] &= ~PageDescriptor.S2AP0
            case .tableWithoutAccessFlag: memory[table] &= ~PageDescriptor.AF
            case .tableInDevice: memory[table] &= ~PageDescriptor.MemAttr(0xf)
            case .tableInvalid: memory[table] = 0
            case .tableReserved: memory[table] &= ~2
            }
        }

        /// A block in place of the table that holds a stage 2 leaf.
        private func replaceWithBlock(_ second: UInt64) {
            for entry in stride(from: UInt64(0x100_0000), to: 0x120_0000, by: 8)
            where machine.memory[entry] == second & ~0xfff | 3 {
                machine.memory[entry] = 0xa020_0000 | Machine.stage2Page | 1
            }
        }

        func warmUp() {
            for page in stride(from: UInt64(0), to: 0x4000, by: 4096) {
                #expect(machine.translate(Self.plain + page | 8, .write).address == 0xa000_0008 + page)
            }
        }
    }

    @Test(arguments: Peculiarity.allCases, [false, true])
    func sameAsTheFirst(_ peculiarity: Peculiarity, protectsWalks: Bool) throws {
        for access in [Access.read, .write, .execute] {
            for privileged in [false, true] {
                let cold = try Subject(peculiarity, protectsWalks: protectsWalks)
                let warm = try Subject(peculiarity, protectsWalks: protectsWalks)
                warm.warmUp()
                let expected = cold.machine.translate(Subject.peculiar | 0x10, access, privileged: privileged)
                let seen = warm.machine.translate(Subject.peculiar | 0x10, access, privileged: privileged)
                #expect(seen == expected, "\(access), privileged \(privileged)")
                #expect(try warm.machine.events() == cold.machine.events())
            }
        }
    }

    @Test(arguments: [Peculiarity.block, .stage2Block])
    func theSmallerPageCounts(_ peculiarity: Peculiarity) throws {
        let subject = try Subject(peculiarity, protectsWalks: true)
        let (next, IPA) = (Subject.peculiar + 0x2000, UInt64(0x9020_5000))
        if peculiarity == .block {
            subject.machine.map(subject.root, IPA, 0xa020_5000, Machine.stage2Page, start: 1)
        } else {
            subject.machine.map(subject.first, next, IPA)
        }
        #expect(subject.machine.translate(Subject.peculiar, .write).address == 0xa020_3000)
        guard case .ok(let output) = subject.machine.translate(next | 8, .write) else {
            Issue.record("no translation")
            return
        }
        #expect(output.address == 0xa020_5008 && output.pageSize == 4096 && !output.isCached)
        #expect(subject.machine.translate(next | 16, .write).address == 0xa020_5010)
    }

    @Test func outcomes() throws {
        func outcome(_ peculiarity: Peculiarity, protectsWalks: Bool = false) throws -> Translation {
            let subject = try Subject(peculiarity, protectsWalks: protectsWalks)
            subject.warmUp()
            return subject.machine.translate(Subject.peculiar | 0x10, .write)
        }
        #expect(try outcome(.nothing, protectsWalks: true).address == 0xa020_3010)
        #expect(try outcome(.block).address == 0xa020_3010)
        #expect(try outcome(.stage2Block).address == 0xa020_3010)
        #expect(try outcome(.stage2ReadOnly).type == .F_PERMISSION)
        #expect(try outcome(.noStage2AccessFlag).type == .F_ACCESS)
        #expect(try outcome(.outputBeyondS2PS).type == .F_ADDR_SIZE)
        #expect(try outcome(.tableInDevice).address == 0xa020_3010)
        #expect(try outcome(.tableInDevice, protectsWalks: true).type == .F_PERMISSION)
        #expect(try outcome(.tableReserved).type == .F_TRANSLATION)
    }
}
