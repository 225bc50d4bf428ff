extension SMMU {
    /// Ends a transaction for a configuration error.
    func terminate(_ event: EventRecord, _ transaction: Transaction) -> Translation {
        lastFaultAborts = true
        if event.type == .C_BAD_STREAMID && registers.CR2 & CR2.RECINVSID == 0 {
            return .fault(event, recorded: false)
        }
        return .fault(event, recorded: record(event))
    }

    /// The record of a fault.
    func event(_ fault: Fault, _ transaction: Transaction, _ context: UnsafePointer<StreamContext>) -> EventRecord {
        var event = Self.event(fault.type, transaction)
        var request = Request(
            address: transaction.address, access: transaction.access, privileged: transaction.privileged)
        override(&request, context.pointee.PRIVCFG, context.pointee.INSTCFG)
        event.RnW = request.access != .write
        event.InD = request.access == .execute
        event.PnU = request.privileged
        event.S2 = fault.isStage2
        event.CLASS = fault.purpose.rawValue
        event.InputAddr = transaction.address
        if fault.type == .F_WALK_EABT {
            event.FetchAddr = fault.address
        } else if fault.isStage2 {
            event.IPA = fault.address
            event.TTRnW = fault.type == .F_PERMISSION && fault.purpose == .TTD && !fault.isTableWrite
        }
        return event
    }

    /// What A, R and S make of a fault (5.5).
    func finish(_ fault: Fault, _ transaction: Transaction, _ context: UnsafePointer<StreamContext>) -> Translation {
        let event = event(fault, transaction, context)
        lastFaultAborts = true
        guard fault.type != .F_WALK_EABT else {
            return .fault(event, recorded: record(event))
        }
        if fault.isStage2 ? context.pointee.stage2Stalls : context.pointee.stalls {
            if let stalled = stall(event) {
                return stalled
            }
            return stallOverflow == .hold ? .held(event) : .fault(event, recorded: record(event))
        }
        lastFaultAborts = fault.isStage2 || context.pointee.aborts
        let isRecorded = fault.isStage2 ? context.pointee.stage2Records : context.pointee.records
        return .fault(event, recorded: isRecorded && record(event))
    }
}
