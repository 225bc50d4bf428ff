extension SMMU {
    var commandQueue: QueueGeometry {
        QueueGeometry(
            register: registers.CMDQ_BASE, limit: features.maximumCommandQueue,
            entryBytes: UInt64(Command.byteCount), OAS: features.OAS)
    }

    /// Consumes commands until the queue is empty or a command fails (4.1.4, 7.1).
    func consumeCommands() {
        // A producer index beyond a full queue makes no more work than a full queue does.
        consumeCommands(atMost: 1 << commandQueue.log2Size)
    }

    /// Goes on where the last register write, or call of this, has left off.
    public func consumeWaitingCommands() { consumeCommands(atMost: waitingCommands) }

    private func consumeCommands(atMost limit: Int) {
        // A delegate that reacts to a command by ringing the bell again finds this call still at work.
        guard !isConsumingCommands else {
            return
        }
        isConsumingCommands = true
        defer { isConsumingCommands = false }
        let queue = commandQueue
        registers.CMDQ_CONS &= CMDQ_CONS.ERR | queue.mask
        let wasFull = features.SEV && queue.isFull(producer: registers.CMDQ_PROD, consumer: registers.CMDQ_CONS)
        let atOnce = min(limit, commandsAtOnce)
        waitingCommands = limit - atOnce
        for done in 0..<atOnce {
            guard registers.isEnabled(CR0.CMDQEN), registers.activeErrors & GERROR.CMDQ_ERR == 0,
                !queue.isEmpty(producer: registers.CMDQ_PROD, consumer: registers.CMDQ_CONS)
            else {
                waitingCommands = 0
                return
            }
            guard let command = loadCommand(queue.address(registers.CMDQ_CONS)) else { return fail(.CERROR_ABT) }
            if reportsInvalidations {
                if command.opcode == .SYNC, delegate?.maySynchronize() == false {
                    waitingCommands = limit - done
                    return
                }
                commands.append(command)
            }
            let error = execute(command)
            guard error == .CERROR_NONE else {
                fail(error)
                return
            }
            registers.CMDQ_CONS = queue.advance(registers.CMDQ_CONS)
            // Whoever waits for room may have gone to sleep (4.1.2).
            if wasFull, done == 0 { delegate?.eventSent() }
            if reportsInvalidations { report(command) }
        }
    }

    private func loadCommand(_ address: UInt64) -> Command? {
        guard let word0 = memory.load64(address), let word1 = memory.load64(address + 8) else { return nil }
        return Command(word0: word0, word1: word1)
    }

    private func fail(_ error: CommandError) {
        waitingCommands = 0
        registers.CMDQ_CONS = registers.CMDQ_CONS & QueueIndex.index | error.rawValue << 24
        raiseError(GERROR.CMDQ_ERR)
    }

    private func execute(_ command: Command) -> CommandError {
        // What nearly every command of a long batch is.
        if UInt8(truncatingIfNeeded: command.word0) == CommandOpcode.TLBI_NH_VA.rawValue, features.stage1 {
            return invalidateAddress(.TLBI_NH_VA, command, vmid: features.stage2 ? command.VMID : 0)
        }
        guard let opcode = command.opcode else {
            return .CERROR_ILL
        }
        switch opcode {
        case .PREFETCH_CONFIG, .PREFETCH_ADDR:
            // Prefetching is optional; only the encoding is checked (4.2).
            return command.SSec ? .CERROR_ILL : .CERROR_NONE
        case .CFGI_STE, .CFGI_STE_RANGE, .CFGI_CD, .CFGI_CD_ALL:
            return invalidateConfiguration(opcode, command)
        case .TLBI_NH_ALL, .TLBI_NH_ASID, .TLBI_NH_VA, .TLBI_NH_VAA:
            guard features.stage1 else {
                return .CERROR_ILL
            }
        case .TLBI_EL2_ALL, .TLBI_EL2_ASID, .TLBI_EL2_VA, .TLBI_EL2_VAA:
            guard features.hyp else {
                return .CERROR_ILL
            }
        case .TLBI_S12_VMALL, .TLBI_S2_IPA:
            guard features.stage2 else {
                return .CERROR_ILL
            }
        case .TLBI_NSNH_ALL: break
        case .ATC_INV, .PRI_RESP: return executeATS(opcode, command)
        case .RESUME, .STALL_TERM: return executeStall(opcode, command)
        case .SYNC: return synchronize(command)
        case .CFGI_VMS_PIDM, .DPTI_ALL, .DPTI_PA: return .CERROR_ILL
        }
        return invalidateTranslations(opcode, command)
    }

    private func executeATS(_ opcode: CommandOpcode, _ command: Command) -> CommandError {
        let substreamID = command.SSV && features.SSIDSIZE != 0 ? command.SubstreamID : nil
        if opcode == .PRI_RESP {
            guard features.PRI, let response = PageResponse(rawValue: command.Resp) else {
                return .CERROR_ILL
            }
            if registers.isEnabled(CR0.SMMUEN) {
                delegate?.pageRequestAnswered(
                    PageRequestAnswer(
                        streamID: command.StreamID, substreamID: substreamID, prgIndex: command.PRGIndex,
                        response: response))
            }
            return .CERROR_NONE
        }
        guard features.ATS, command.Size <= 52 else {
            return .CERROR_ILL
        }
        if registers.isEnabled(CR0.SMMUEN), let delegate {
            let bits = command.Size + 12
            let invalidation = ATCInvalidation(
                streamID: command.StreamID, substreamID: substreamID, global: command.SSV && command.Global,
                address: bits == 64 ? 0 : (command.Address >> bits) << bits, log2Size: Int(bits))
            if !delegate.invalidateTranslations(invalidation) {
                hasFailedATCInvalidation = true
            }
        }
        return .CERROR_NONE
    }

    private func executeStall(_ opcode: CommandOpcode, _ command: Command) -> CommandError {
        guard features.stallModel != 0b01, !command.SSec else {
            return .CERROR_ILL
        }
        let streamID = command.StreamID
        if opcode == .STALL_TERM {
            terminateStalls { $0.streamID == streamID }
        } else {
            let abort = command.Abort || features.terminateAlwaysAborts
            resume(
                streamID: streamID, STAG: command.STAG,
                action: command.Action ? .retry : .terminate(abort: abort))
        }
        return .CERROR_NONE
    }

    private func synchronize(_ command: Command) -> CommandError {
        guard command.CS != 0b11 else {
            return .CERROR_ILL
        }
        if hasFailedATCInvalidation {
            // The CMD_SYNC stays in the queue; a later one covers what software issues again (4.7.3).
            hasFailedATCInvalidation = false
            return .CERROR_ATC_INV_SYNC
        }
        if command.CS == 0b01 {
            if features.MSI && command.MSIAddress != 0 {
                sendMSI(
                    address: command.MSIAddress, data: command.MSIData, abortError: GERROR.MSI_CMDQ_ABT_ERR)
            }
            raise(.commandSync)
        }
        // Without IDR0.SEV there is no signal at all (4.7.3).
        if command.CS == 0b10, features.SEV { delegate?.eventSent() }
        return .CERROR_NONE
    }
}
