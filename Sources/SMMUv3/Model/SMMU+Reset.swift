extension SMMU {
    /// Back to where the initialiser left it: registers, caches, queues, traces, figures. Stalled transactions are
    /// terminated with an abort, of which the delegate is told. Not for calls of the delegate.
    public func reset() {
        terminateAllStalls()
        registers = RegisterFile(features)
        monitors = MonitorGroup()
        streamEntries = ConfigurationCache(capacity: geometry.configurationEntries, filler: StreamTableEntry())
        contextDescriptors = ConfigurationCache(capacity: geometry.configurationEntries, filler: ContextDescriptor())
        tlb = TLB(capacity: geometry.tlbEntries)
        walks = TLB(capacity: geometry.tlbEntries)
        // The epochs go on: what was decoded before must not pass for what will be.
        spaces.reset()
        renewConfiguration()
        recentTarget = RecentTarget()
        hasGlobalEntries = false
        hasFailedATCInvalidation = false
        waitingCommands = 0
        nextSTAG = 0
        largestSplit = 0
        ignoresTags = false
        lastFaultAborts = true
        eventTrace = TraceRing<EventRecord>()
        commands = TraceRing<Command>()
        reportChange()
    }
}
