import CLinux
import IOMMUObjects
import SMMUv3

/// The physical address space as the emulated SMMUs see it.
///
/// Table memory is reached by pointer; client memory, where a guest keeps its stage 1 tables, through its windows.
package struct MachineMemory: PhysicalMemory {
    @usableFromInline let tables: UnsafeMutableRawPointer
    @usableFromInline let tableBase: UInt64
    @usableFromInline let tableSize: UInt64
    let windows: WindowTable

    /// One atomic load; nil where there is no memory.
    @inlinable @inline(__always)
    package func load64(_ address: UInt64) -> UInt64? {
        let offset = address &- tableBase
        if offset < tableSize { return clinux_load64(tables + Int(truncatingIfNeeded: offset & ~7)) }
        return loadWindow(address)
    }

    /// One atomic store; false where there is no writable memory.
    @inlinable @inline(__always)
    package func store64(_ address: UInt64, _ value: UInt64) -> Bool {
        let offset = address &- tableBase
        guard offset < tableSize else { return storeWindow(address, value) }
        clinux_store64(tables + Int(truncatingIfNeeded: offset & ~7), value)
        return true
    }

    /// One atomic store; false where there is no writable memory.
    package func store32(_ address: UInt64, _ value: UInt32) -> Bool {
        let offset = address &- tableBase
        if offset < tableSize {
            clinux_store32(tables + Int(truncatingIfNeeded: offset & ~3), value)
            return true
        }
        guard let window = windows.find(address) else { return false }
        return window.object.store32(offset: address &- window.base, value)
    }

    /// Whether the word was `expected` and is `desired` now; nil where there is no writable memory.
    package func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        let offset = address &- tableBase
        if offset < tableSize {
            return clinux_cas64(tables + Int(truncatingIfNeeded: offset & ~7), expected, desired)
        }
        guard let window = windows.find(address) else { return nil }
        return window.object.compareExchange64(offset: address &- window.base, expected: expected, desired: desired)
    }

    @usableFromInline @inline(never)
    func loadWindow(_ address: UInt64) -> UInt64? {
        guard let window = windows.find(address) else { return nil }
        return window.object.load64(offset: address &- window.base)
    }

    @usableFromInline @inline(never)
    func storeWindow(_ address: UInt64, _ value: UInt64) -> Bool {
        guard let window = windows.find(address) else { return false }
        return window.object.store64(offset: address &- window.base, value)
    }
}
