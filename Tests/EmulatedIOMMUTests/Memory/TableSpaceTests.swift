import Glibc
import IOMMU
import Testing

@testable import EmulatedIOMMU

@Suite struct TableSpaceTests {
    @Test func halvesUntilTheSystemAgrees() throws {
        var asked: [UInt64] = []
        let space = try TableSpace(bytes: 100 << 20) { bytes in
            asked.append(bytes)
            return bytes > 16 << 20 ? nil : TableSpace.reserve(bytes)
        }
        #expect(asked == [64 << 20, 32 << 20, 16 << 20])
        #expect(space.size == 16 << 20)
    }

    @Test func saysWhatToDoWhereNotEvenTheLeastCanBeHad() {
        var asked = 0
        #expect {
            _ = try TableSpace(bytes: .max) { _ in
                asked += 1
                return nil
            }
        } throws: { error in
            let error = error as? IOMMUError
            return error?.errno == .ENOMEM && error?.hint.contains("RLIMIT_AS") == true
        }
        #expect(asked > 1)
        #expect(asked < 64)
    }

    @Test func handsOutAllOfASmallSpace() throws {
        let machine = try Machine(tableSpace: 16 << 20)
        #expect(machine.tableSpace == 16 << 20)
        var pages: Set<UInt64> = []
        for _ in 0..<4096 {
            let page = try machine.allocatePages(bytes: 4096)
            #expect(machine.range.contains(page))
            machine.pointer(page).storeBytes(of: .max, as: UInt64.self)
            pages.insert(page)
        }
        #expect(pages.count == 4096)
        for bytes in [4096, 32 << 20] as [UInt64] {
            #expect { _ = try machine.allocatePages(bytes: bytes) } throws: { ($0 as? IOMMUError)?.errno == .ENOMEM }
        }
        for page in pages { machine.freePages(page, bytes: 4096) }
        #expect(machine.tableBytes == 0)
        #expect(machine.memory.load64(try machine.allocatePages(bytes: 4096)) == 0)
    }

    /// What nobody has allocated reads as zeros: a stray walk ends there, and not the daemon.
    @Test func whatIsNotHandedOutReadsAsZeros() throws {
        let machine = try Machine()
        #expect(machine.memory.load64(machine.range.last - 7) == 0)
        #expect(machine.memory.load64(machine.range.last + 1) == nil)
    }
}
