extension SMMU {
    /// Reads a register of page 0 or 1; unknown offsets read zero.
    ///
    /// - Parameters:
    ///   - offset: byte offset, a multiple of `width`.
    ///   - width: 4 or 8 bytes; 8 only at a 64-bit register.
    public func readRegister(_ offset: UInt32, width: Int) throws(MMIOError) -> UInt64 {
        guard let register = try register(at: offset, width: width) else {
            return 0
        }
        let value = value(of: register)
        if register.width == 8 && width == 4 {
            return offset == register.rawValue ? value & 0xffff_ffff : value >> 32
        }
        return value
    }

    /// Writes a register of page 0 or 1; unknown and read-only offsets ignore it.
    ///
    /// All effects, commands included, are complete on return.
    ///
    /// - Parameters:
    ///   - offset: byte offset, a multiple of `width`.
    ///   - width: 4 or 8 bytes; 8 only at a 64-bit register.
    ///   - value: the value; bits above the width are ignored.
    public func writeRegister(_ offset: UInt32, width: Int, value: UInt64) throws(MMIOError) {
        guard let register = try register(at: offset, width: width) else {
            return
        }
        guard register.width == 8 else {
            write32(register, UInt32(truncatingIfNeeded: value))
            return
        }
        var whole = value
        if width == 4 {
            let old = self.value(of: register)
            whole =
                offset == register.rawValue
                ? old & ~0xffff_ffff | value & 0xffff_ffff : old & 0xffff_ffff | value << 32
        }
        write64(register, whole)
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

    /// The register that an access reaches, nil for none.
    private func register(at offset: UInt32, width: Int) throws(MMIOError) -> Register? {
        guard width == 4 || width == 8 else {
            throw .badWidth
        }
        guard offset < Register.regionSize else {
            throw .outOfRange
        }
        guard offset % UInt32(width) == 0 else {
            throw .misaligned
        }
        if let register = Register(rawValue: offset) {
            guard width <= register.width else {
                throw .badWidth
            }
            return register
        }
        if width == 4, offset >= 4, let register = Register(rawValue: offset - 4), register.width == 8 {
            return register
        }
        return nil
    }
}
