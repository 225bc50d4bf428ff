extension SMMU {
    /// Activates a Global Error unless it is active already (7.5).
    func raiseError(_ error: UInt32) {
        guard registers.activeErrors & error == 0 else {
            return
        }
        registers.GERROR ^= error
        // The abort of the GERROR MSI itself must not raise another.
        if error != GERROR.MSI_GERROR_ABT_ERR {
            raise(.globalError)
        }
    }

    /// Raises an interrupt if it is enabled, by MSI where one is configured (3.18).
    func raise(_ interrupt: Interrupt) {
        let enable: UInt32
        let address: UInt64
        let data: UInt32
        let abortError: UInt32
        switch interrupt {
        case .globalError:
            enable = IRQ_CTRL.GERROR_IRQEN
            (address, data) = (registers.GERROR_IRQ_CFG0, registers.GERROR_IRQ_CFG1)
            abortError = GERROR.MSI_GERROR_ABT_ERR
        case .eventQueue:
            enable = IRQ_CTRL.EVENTQ_IRQEN
            (address, data) = (registers.EVENTQ_IRQ_CFG0, registers.EVENTQ_IRQ_CFG1)
            abortError = GERROR.MSI_EVENTQ_ABT_ERR
        case .priQueue:
            enable = IRQ_CTRL.PRIQ_IRQEN
            (address, data) = (registers.PRIQ_IRQ_CFG0, registers.PRIQ_IRQ_CFG1)
            abortError = GERROR.MSI_PRIQ_ABT_ERR
        case .commandSync, .monitors:
            delegate?.interruptRaised(interrupt)
            return
        }
        guard registers.IRQ_CTRL & enable != 0 else {
            return
        }
        if features.MSI && address != 0 {
            sendMSI(address: address, data: data, abortError: abortError)
        }
        delegate?.interruptRaised(interrupt)
    }

    /// Writes an MSI; an abort is a Global Error of its own.
    func sendMSI(address: UInt64, data: UInt32, abortError: UInt32) {
        if !store(message: data, at: truncateToOAS(address)) { raiseError(abortError) }
    }

    /// Writes an MSI; false: an external abort.
    func store(message data: UInt32, at target: UInt64) -> Bool {
        memory.store32(target, data) || delegate?.messageSignalled(address: target, data: data) == true
    }

    /// Base addresses of queues and MSIs lose what exceeds the OAS (3.4.3).
    func truncateToOAS(_ address: UInt64) -> UInt64 {
        address & ((1 << UInt64(features.OAS)) - 1)
    }
}
