/// Page 0 of the counter group; it has no page 1 (RELOC_CTRS = 0).
extension SMMU {
    private static var stride: UInt32 { 8 }

    /// Reads a register of the Performance Monitor Counter Group; unknown offsets read zero (10.5).
    ///
    /// - Parameters:
    ///   - offset: byte offset in page 0, a multiple of `width`.
    ///   - width: 4 or 8 bytes; 8 at a pair of 32-bit registers reads both.
    public func readMonitorRegister(_ offset: UInt32, width: Int) throws(MMIOError) -> UInt64 {
        try check(offset, width: width)
        catchUpMonitors()
        let low = UInt64(monitorWord(offset))
        return width == 4 ? low : low | UInt64(monitorWord(offset + 4)) << 32
    }

    /// Writes a register of the Performance Monitor Counter Group; unknown and read-only offsets ignore it (10.5).
    ///
    /// - Parameters:
    ///   - offset: byte offset in page 0, a multiple of `width`.
    ///   - width: 4 or 8 bytes; 8 at a pair of 32-bit registers writes both, the low one first.
    ///   - value: the value; bits above the width are ignored.
    public func writeMonitorRegister(_ offset: UInt32, width: Int, value: UInt64) throws(MMIOError) {
        try check(offset, width: width)
        catchUpMonitors()
        writeMonitorWord(offset, UInt32(truncatingIfNeeded: value))
        if width == 8 { writeMonitorWord(offset + 4, UInt32(truncatingIfNeeded: value >> 32)) }
        // Transactions go the way on which they are counted.
        forgetRecentStream()
    }

    /// Events that this SMMU has (10.3): those of ATS with ATS.
    private var countedEvents: UInt64 { features.ATS ? 0xff : 0x3f }

    // MARK: Reading

    private func monitorWord(_ offset: UInt32) -> UInt32 {
        let isHigh = offset & 4 != 0
        func half(_ value: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: isHigh ? value >> 32 : value) }
        func counter(_ start: UInt32, _ stride: UInt32) -> MonitorGroup.Counter? {
            let index = Int((offset - start) / stride)
            return index < MonitorGroup.size ? monitors.counters[index] : nil
        }
        switch offset {
        case 0x000..<0x200: return counter(0x000, Self.stride).map { half($0.value) } ?? 0
        case 0x400..<0x500: return counter(0x400, 4)?.type ?? 0
        case 0x600..<0x800: return counter(0x600, Self.stride).map { half($0.shadow) } ?? 0
        case 0xa00..<0xb00: return counter(0xa00, 4)?.match ?? 0
        case 0xc00, 0xc04, 0xc20, 0xc24: return half(monitors.enabled)
        case 0xc40, 0xc44, 0xc60, 0xc64: return half(monitors.interrupting)
        case 0xc80, 0xc84, 0xcc0, 0xcc4: return half(monitors.overflowed)
        default: return monitorControl(offset)
        }
    }

    private func monitorControl(_ offset: UInt32) -> UInt32 {
        switch offset {
        case 0xe00: CFGR
        case 0xe04: monitors.isEnabled ? 1 : 0
        case 0xe20: UInt32(countedEvents)
        case 0xe50, 0xe54: monitors.signals ? 1 : 0
        case 0xe58: UInt32(truncatingIfNeeded: monitors.IRQ_CFG0)
        case 0xe5c: UInt32(truncatingIfNeeded: monitors.IRQ_CFG0 >> 32)
        case 0xe60: monitors.IRQ_CFG1
        case 0xe64: monitors.IRQ_CFG2
        case 0xe68: monitors.hasAborted ? 1 : 0
        case 0xe70: identification.AIDR & 0xff
        default: 0
        }
    }

    /// CAPTURE, MSI as the SMMU has it, SIZE = 63, NCTR.
    private var CFGR: UInt32 {
        1 << 22 | (features.MSI ? 1 << 21 : 0) | 63 << 8 | UInt32(MonitorGroup.size - 1)
    }

    // MARK: Writing

    private func writeMonitorWord(_ offset: UInt32, _ value: UInt32) {
        let isHigh = offset & 4 != 0
        func put(_ word: inout UInt64) {
            word = isHigh ? word & 0xffff_ffff | UInt64(value) << 32 : word & ~0xffff_ffff | UInt64(value)
        }
        let bits = isHigh ? UInt64(value) << 32 : UInt64(value)
        switch offset {
        case 0x000..<0x200: monitors.change(Int(offset / Self.stride)) { put(&$0.value) }
        case 0x400..<0x500: monitors.change(Int(offset - 0x400) / 4) { $0.type = value & EVTYPER.implemented }
        case 0xa00..<0xb00:
            let implemented = UInt32(truncatingIfNeeded: (1 << features.SIDSIZE) - 1)
            monitors.change(Int(offset - 0xa00) / 4) { $0.match = value & implemented }
        case 0xc00, 0xc04: monitors.enable(bits, clear: 0)
        case 0xc20, 0xc24: monitors.enable(0, clear: bits)
        case 0xc40, 0xc44: monitors.interrupt(bits, clear: 0)
        case 0xc60, 0xc64: monitors.interrupt(0, clear: bits)
        case 0xc80, 0xc84: monitors.overflow(0, clear: bits)
        case 0xcc0, 0xcc4: monitors.overflow(bits, clear: 0)
        case 0xd88: monitors.writeCAPR(value)
        case 0xe04: monitors.writeCR(value)
        case 0xe50: monitors.writeIRQ_CTRL(value)
        case 0xe58 where features.MSI, 0xe5c where features.MSI:
            monitors.configureMessage { address, _, _ in put(&address) }
        case 0xe60 where features.MSI: monitors.configureMessage { _, data, _ in data = value }
        case 0xe64 where features.MSI: monitors.configureMessage { _, _, attributes in attributes = value }
        default: break
        }
    }

    // MARK: Counting

    /// Translates a transaction and counts what that takes.
    @inline(never)
    func translateMonitored(_ transaction: Transaction) -> Translation {
        let before = accesses
        let translation = translateAnyway(transaction)
        let after = accesses
        catchUpMonitors()
        let events = MonitorEvents(
            walkAccesses: after.walk &- before.walk,
            configurationAccesses: after.configuration &- before.configuration, addressType: transaction.addressType)
        take(monitors.count(events, streamID: transaction.streamID, width: features.SIDSIZE))
        return translation
    }

    private func catchUpMonitors() { take(monitors.catchUp(delegate?.cycles() ?? 0)) }

    private func take(_ effects: MonitorGroup.Effects) {
        guard effects.interrupts else { return }
        if features.MSI && monitors.IRQ_CFG0 != 0 {
            let target = truncateToOAS(monitors.IRQ_CFG0)
            if !store(message: monitors.IRQ_CFG1, at: target) { monitors.hasAborted = true }
        }
        delegate?.interruptRaised(.monitors)
    }
}
