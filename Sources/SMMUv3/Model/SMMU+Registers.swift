extension SMMU {
    /// Reads a register of page 0 or 1; unknown offsets read zero.
    ///
    /// - Parameters:
    ///   - offset: byte offset, a multiple of `width`.
    ///   - width: 4 or 8 bytes; 8 at a pair of 32-bit registers reads both.
    public func readRegister(_ offset: UInt32, width: Int) throws(MMIOError) -> UInt64 {
        try check(offset, width: width)
        guard let register = register(at: offset) else {
            return width == 4 ? 0 : readPair(offset)
        }
        guard register.width == 8 else {
            return width == 4 ? value(of: register) : readPair(offset)
        }
        let value = value(of: register)
        guard width == 4 else {
            return value
        }
        return offset == register.rawValue ? value & 0xffff_ffff : value >> 32
    }

    /// Writes a register of page 0 or 1; unknown and read-only offsets ignore it.
    ///
    /// All effects, commands included, are complete on return.
    ///
    /// - Parameters:
    ///   - offset: byte offset, a multiple of `width`.
    ///   - width: 4 or 8 bytes; 8 at a pair of 32-bit registers writes both, the low one first.
    ///   - value: the value; bits above the width are ignored.
    public func writeRegister(_ offset: UInt32, width: Int, value: UInt64) throws(MMIOError) {
        try check(offset, width: width)
        if let register = register(at: offset), register.width == 8 {
            var whole = value
            if width == 4 {
                let old = self.value(of: register)
                whole =
                    offset == register.rawValue
                    ? old & ~0xffff_ffff | value & 0xffff_ffff : old & 0xffff_ffff | value << 32
            }
            return write64(register, whole)
        }
        if let register = Register(rawValue: offset) {
            write32(register, UInt32(truncatingIfNeeded: value))
        }
        if width == 8, let second = Register(rawValue: offset + 4) {
            write32(second, UInt32(truncatingIfNeeded: value >> 32))
        }
    }

    private func readPair(_ offset: UInt32) -> UInt64 {
        func half(_ offset: UInt32) -> UInt64 { Register(rawValue: offset).map { value(of: $0) } ?? 0 }
        return half(offset) | half(offset + 4) << 32
    }

    /// The value of a register as software reads it.
    public func value(of register: Register) -> UInt64 {
        switch register {
        case .IDR0: UInt64(identification.IDR0)
        case .IDR1: UInt64(identification.IDR1)
        case .IDR2: UInt64(identification.IDR2)
        case .IDR3: UInt64(identification.IDR3)
        case .IDR4: UInt64(identification.IDR4)
        case .IDR5: UInt64(identification.IDR5)
        case .IIDR: UInt64(identification.IIDR)
        case .AIDR: UInt64(identification.AIDR)
        case .CR0, .CR0ACK: UInt64(registers.CR0)
        case .CR1: UInt64(registers.CR1)
        case .CR2: UInt64(registers.CR2)
        case .STATUSR, .AGBPA: 0
        case .GBPA: UInt64(registers.GBPA)
        case .IRQ_CTRL, .IRQ_CTRLACK: UInt64(registers.IRQ_CTRL)
        case .GERROR: UInt64(registers.GERROR)
        case .GERRORN: UInt64(registers.GERRORN)
        case .STRTAB_BASE: registers.STRTAB_BASE
        case .STRTAB_BASE_CFG: UInt64(registers.STRTAB_BASE_CFG)
        default: queueValue(of: register)
        }
    }

    /// Indices that the SMMU itself moves read as zero above the wrap bit of the queue as it is now (6.3.28).
    private func queueValue(of register: Register) -> UInt64 {
        switch register {
        case .GERROR_IRQ_CFG0: registers.GERROR_IRQ_CFG0
        case .GERROR_IRQ_CFG1: UInt64(registers.GERROR_IRQ_CFG1)
        case .GERROR_IRQ_CFG2: UInt64(registers.GERROR_IRQ_CFG2)
        case .CMDQ_BASE: registers.CMDQ_BASE
        case .CMDQ_PROD: UInt64(registers.CMDQ_PROD)
        case .CMDQ_CONS: UInt64(registers.CMDQ_CONS & (CMDQ_CONS.ERR | commandQueue.mask))
        case .EVENTQ_BASE: registers.EVENTQ_BASE
        case .EVENTQ_PROD: UInt64(registers.EVENTQ_PROD & (QueueIndex.overflow | eventQueue.mask))
        case .EVENTQ_CONS: UInt64(registers.EVENTQ_CONS)
        case .EVENTQ_IRQ_CFG0: registers.EVENTQ_IRQ_CFG0
        case .EVENTQ_IRQ_CFG1: UInt64(registers.EVENTQ_IRQ_CFG1)
        case .EVENTQ_IRQ_CFG2: UInt64(registers.EVENTQ_IRQ_CFG2)
        case .PRIQ_BASE: registers.PRIQ_BASE
        case .PRIQ_PROD: UInt64(registers.PRIQ_PROD & (QueueIndex.overflow | PRIQueue.mask))
        case .PRIQ_CONS: UInt64(registers.PRIQ_CONS)
        case .PRIQ_IRQ_CFG0: registers.PRIQ_IRQ_CFG0
        case .PRIQ_IRQ_CFG1: UInt64(registers.PRIQ_IRQ_CFG1)
        case .PRIQ_IRQ_CFG2: UInt64(registers.PRIQ_IRQ_CFG2)
        default: 0
        }
    }

    func check(_ offset: UInt32, width: Int) throws(MMIOError) {
        guard width == 4 || width == 8 else {
            throw .badWidth
        }
        guard offset % UInt32(width) == 0 else {
            throw .misaligned
        }
    }

    /// The register that an offset reaches, the second half of a 64-bit one too; nil for none.
    private func register(at offset: UInt32) -> Register? {
        if let register = Register(rawValue: offset) {
            return register
        }
        guard offset >= 4, let register = Register(rawValue: offset - 4), register.width == 8 else {
            return nil
        }
        return register
    }
}
