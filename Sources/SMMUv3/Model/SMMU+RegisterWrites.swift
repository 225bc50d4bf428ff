extension SMMU {
    func write32(_ register: Register, _ value: UInt32) {
        switch register {
        case .CR0: writeCR0(value)
        case .CR1: writeCR1(value)
        case .CR2: writeCR2(value)
        case .GBPA: writeGBPA(value)
        case .IRQ_CTRL:
            let implemented = IRQ_CTRL.GERROR_IRQEN | IRQ_CTRL.EVENTQ_IRQEN | (features.PRI ? IRQ_CTRL.PRIQ_IRQEN : 0)
            registers.IRQ_CTRL = value & implemented
        case .GERRORN: writeGERRORN(value)
        case .STRTAB_BASE_CFG:
            guard !registers.isEnabled(CR0.SMMUEN) else {
                return
            }
            registers.STRTAB_BASE_CFG = value & (features.twoLevelStreamTable ? 0x0003_07ff : 0x3f)
        case .CMDQ_PROD:
            registers.CMDQ_PROD = value & QueueIndex.index
            consumeCommands()
        case .CMDQ_CONS:
            // ERR is the SMMU's to write (6.3.28), and UNKNOWN once acknowledged; firmware writes 0 and looks at it.
            if !registers.isEnabled(CR0.CMDQEN) {
                registers.CMDQ_CONS = value & (CMDQ_CONS.ERR | QueueIndex.index)
            }
        case .EVENTQ_PROD:
            if !registers.isEnabled(CR0.EVENTQEN) {
                registers.EVENTQ_PROD = value & (QueueIndex.overflow | QueueIndex.index)
            }
        case .EVENTQ_CONS:
            registers.EVENTQ_CONS = value & (QueueIndex.overflow | QueueIndex.index)
            recordPendingStalls()
        case .PRIQ_PROD:
            if features.PRI && !registers.isEnabled(CR0.PRIQEN) {
                registers.PRIQ_PROD = value & (QueueIndex.overflow | QueueIndex.index)
            }
        case .PRIQ_CONS:
            if features.PRI {
                registers.PRIQ_CONS = value & (QueueIndex.overflow | QueueIndex.index)
            }
        default: writeInterruptConfiguration(register, value)
        }
    }

    func write64(_ register: Register, _ value: UInt64) {
        let queueBase = value & (BaseRegister.allocate | BaseRegister.queueAddress | 0x1f)
        let messageAddress = value & 0x00ff_ffff_ffff_fffc
        switch register {
        case .STRTAB_BASE where !registers.isEnabled(CR0.SMMUEN):
            registers.STRTAB_BASE = value & (BaseRegister.allocate | BaseRegister.tableAddress)
        case .CMDQ_BASE where !registers.isEnabled(CR0.CMDQEN): registers.CMDQ_BASE = queueBase
        case .EVENTQ_BASE where !registers.isEnabled(CR0.EVENTQEN): registers.EVENTQ_BASE = queueBase
        case .PRIQ_BASE where features.PRI && !registers.isEnabled(CR0.PRIQEN): registers.PRIQ_BASE = queueBase
        case .GERROR_IRQ_CFG0 where isConfigurable(IRQ_CTRL.GERROR_IRQEN): registers.GERROR_IRQ_CFG0 = messageAddress
        case .EVENTQ_IRQ_CFG0 where isConfigurable(IRQ_CTRL.EVENTQ_IRQEN): registers.EVENTQ_IRQ_CFG0 = messageAddress
        case .PRIQ_IRQ_CFG0 where features.PRI && isConfigurable(IRQ_CTRL.PRIQ_IRQEN):
            registers.PRIQ_IRQ_CFG0 = messageAddress
        default: break
        }
    }

    private func writeInterruptConfiguration(_ register: Register, _ value: UInt32) {
        switch register {
        case .GERROR_IRQ_CFG1 where isConfigurable(IRQ_CTRL.GERROR_IRQEN): registers.GERROR_IRQ_CFG1 = value
        case .GERROR_IRQ_CFG2 where isConfigurable(IRQ_CTRL.GERROR_IRQEN): registers.GERROR_IRQ_CFG2 = value & 0x3f
        case .EVENTQ_IRQ_CFG1 where isConfigurable(IRQ_CTRL.EVENTQ_IRQEN): registers.EVENTQ_IRQ_CFG1 = value
        case .EVENTQ_IRQ_CFG2 where isConfigurable(IRQ_CTRL.EVENTQ_IRQEN): registers.EVENTQ_IRQ_CFG2 = value & 0x3f
        case .PRIQ_IRQ_CFG1 where features.PRI && isConfigurable(IRQ_CTRL.PRIQ_IRQEN):
            registers.PRIQ_IRQ_CFG1 = value
        case .PRIQ_IRQ_CFG2 where features.PRI && isConfigurable(IRQ_CTRL.PRIQ_IRQEN):
            registers.PRIQ_IRQ_CFG2 = value & 0x8000_003f
        default: break
        }
    }

    /// The IRQ_CFG registers exist with MSIs only and are guarded by their enable (6.3.21).
    private func isConfigurable(_ enable: UInt32) -> Bool {
        features.MSI && registers.IRQ_CTRL & enable == 0
    }

    private func writeCR0(_ value: UInt32) {
        let old = registers.CR0
        registers.CR0 = value & CR0.implemented(features)
        let changed = old ^ registers.CR0
        if changed & (CR0.SMMUEN | CR0.ATSCHK) != 0 {
            renewConfiguration()
            reportChange()
        }
        if changed & old & CR0.SMMUEN != 0 {
            terminateAllStalls()
        }
        if changed & CR0.CMDQEN != 0 {
            consumeCommands()
        }
        if changed & CR0.EVENTQEN != 0 {
            recordPendingStalls()
        }
    }

    private func writeCR1(_ value: UInt32) {
        let queues = registers.CR0 & (CR0.CMDQEN | CR0.EVENTQEN | CR0.PRIQEN) == 0
        let writable: UInt32 = (registers.isEnabled(CR0.SMMUEN) ? 0 : 0xfc0) | (queues ? 0x3f : 0)
        registers.CR1 = registers.CR1 & ~writable | value & writable
    }

    private func writeCR2(_ value: UInt32) {
        guard !registers.isEnabled(CR0.SMMUEN) else {
            return
        }
        registers.CR2 = value & CR2.implemented(features)
        renewConfiguration()
    }

    private func writeGBPA(_ value: UInt32) {
        // Without Update the write is ignored (6.3.14.1, SMMUv3.2).
        if value & GBPA.Update != 0 {
            registers.GBPA = value & 0x001f_3f1f
            if !registers.isEnabled(CR0.SMMUEN) { reportChange() }
        }
    }

    private func writeGERRORN(_ value: UInt32) {
        let before = registers.activeErrors
        registers.GERRORN = value & implementedErrors
        if before & ~registers.activeErrors & GERROR.CMDQ_ERR != 0 {
            registers.CMDQ_CONS &= ~CMDQ_CONS.ERR
            consumeCommands()
        }
        if before & ~registers.activeErrors & GERROR.EVENTQ_ABT_ERR != 0 {
            recordPendingStalls()
        }
    }

    private var implementedErrors: UInt32 {
        var errors = GERROR.CMDQ_ERR | GERROR.EVENTQ_ABT_ERR | GERROR.SFM_ERR
        errors |= features.PRI ? GERROR.PRIQ_ABT_ERR : 0
        if features.MSI {
            errors |= GERROR.MSI_CMDQ_ABT_ERR | GERROR.MSI_EVENTQ_ABT_ERR | GERROR.MSI_GERROR_ABT_ERR
            errors |= features.PRI ? GERROR.MSI_PRIQ_ABT_ERR : 0
        }
        return errors
    }
}

extension CR0 {
    /// The fields that are there with these features.
    static func implemented(_ features: Features) -> UInt32 {
        var fields = SMMUEN | EVENTQEN | CMDQEN
        fields |= features.PRI ? PRIQEN : 0
        fields |= features.ATS ? ATSCHK : 0
        fields |= features.VMW ? VMW : 0
        return fields
    }
}

extension CR2 {
    /// The fields that are there with these features.
    static func implemented(_ features: Features) -> UInt32 {
        var fields = RECINVSID
        fields |= features.hyp ? E2H : 0
        fields |= features.broadcast ? PTM : 0
        fields |= features.ATSRECERR ? REC_CFG_ATS : 0
        return fields
    }
}
