import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

@Suite struct MachineTests {
    @Test func tablesAreZeroedAndAligned() throws {
        let machine = try Machine()
        var blocks: [(UInt64, UInt64)] = []
        for bytes in [4096, 65536, 4096, 16384, 1 << 20, 4096] as [UInt64] {
            let address = try machine.allocatePages(bytes: bytes)
            #expect(address % bytes == 0)
            #expect(machine.memory.load64(address + bytes - 8) == 0)
            #expect(machine.memory.store64(address + bytes - 8, .max))
            #expect(machine.pointer(address + bytes - 8).load(as: UInt64.self) == .max)
            #expect(blocks.allSatisfy { address >= $0.0 + $0.1 || address + bytes <= $0.0 })
            blocks.append((address, bytes))
        }
        #expect(machine.tableBytes == blocks.reduce(0) { $0 + $1.1 })
        for (address, bytes) in blocks { machine.freePages(address, bytes: bytes) }
        #expect(machine.tableBytes == 0)
        for (_, bytes) in blocks {
            let address = try machine.allocatePages(bytes: bytes)
            #expect(machine.memory.load64(address + bytes - 8) == 0)
        }
        #expect(throws: IOMMUError.self) { _ = try machine.allocatePages(bytes: 3000) }
        #expect(throws: IOMMUError.self) { _ = try machine.allocatePages(bytes: 1 << 40) }
    }

    @Test func windowsAreAlignedDisjointAndReused() throws {
        let machine = try Machine()
        let small = try MemoryObject.creating(size: 5000, name: nil, huge: false)
        let medium = try MemoryObject.creating(size: 3 << 20, name: nil, huge: false)
        let large = try MemoryObject.creating(size: 5 << 30, name: nil, huge: false)
        let bases = try [small, medium, large].map { try machine.addWindow(for: $0) }
        #expect(bases[0] == 1 << 40)
        #expect(bases[1] % (2 << 20) == 0)
        #expect(bases[2] % (1 << 30) == 0)
        #expect(machine.memory.store64(bases[2] + (5 << 30) - 8, 7))
        #expect(large.load64(offset: (5 << 30) - 8) == 7)
        #expect(machine.memory.load64(bases[2] + (5 << 30)) == nil)
        #expect(machine.memory.load64(bases[0] + 4992) == 0)
        #expect(machine.memory.load64(bases[0] + 5000) == nil)
        machine.removeWindow(bases[1])
        #expect(machine.memory.load64(bases[1]) == nil)
        #expect(machine.memory.load64(bases[0]) == 0)
    }

    @Test func dataGoesThroughWindowsOnly() throws {
        let machine = try Machine()
        let first = try MemoryObject.creating(size: 4096, name: nil, huge: false)
        let second = try MemoryObject.creating(size: 4096, name: nil, huge: false)
        let base = try machine.addWindow(for: first)
        let next = try machine.addWindow(for: second)
        #expect(next == base + 4096)
        let sent: [UInt8] = (0..<100).map { UInt8($0) }
        #expect(sent.withUnsafeBytes { machine.write(base + 4050, from: $0) })
        var received = [UInt8](repeating: 0, count: 100)
        #expect(received.withUnsafeMutableBytes { machine.read(base + 4050, into: $0) })
        #expect(received == sent)
        #expect(second.load64(offset: 0) == first.load64(offset: 4088).map { _ in 0x3534_3332_3130_2f2e })
        #expect(!sent.withUnsafeBytes { machine.write(next + 4050, from: $0) })
        let table = try machine.allocatePages(bytes: 4096)
        #expect(!sent.withUnsafeBytes { machine.write(table, from: $0) }, "devices do not reach the driver's tables")
    }

    @Test(arguments: [32, 36, 40, 42, 44, 48])
    func everythingLiesBelowTheOutputSize(bits: Int) throws {
        let machine = try Machine(outputAddressBits: bits)
        let end = UInt64(1) << UInt64(bits)
        #expect(try machine.allocatePages(bytes: 65536) < end)
        let object = try MemoryObject.creating(size: 1 << 20, name: nil, huge: false)
        let base = try machine.addWindow(for: object)
        #expect(base + (1 << 20) <= end)
        #expect(machine.processSpace.last < end)
        #expect(machine.processSpace.start > base)
    }
}
