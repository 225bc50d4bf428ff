/// Reasons: processes, shared address spaces and queues.
extension Reason {
    // MARK: Opening processes

    /// The process is not visible in the daemon's pid namespace.
    package static let foreignPidNamespace = Reason("foreign_pid_namespace")
    /// The address space has ended.
    package static let mmExited = Reason("mm_exited")
    /// The daemon runs without CAP_SYS_PTRACE.
    package static let noCapSysPtrace = Reason("no_cap_sys_ptrace")
    /// There is no such process any more.
    package static let noSuchProcess = Reason("no_such_process")
    /// The process is not dumpable.
    package static let notDumpable = Reason("not_dumpable")
    /// The descriptors are not the mem and maps files of one process.
    package static let notMemAndMaps = Reason("not_mem_and_maps")
    /// The process runs as somebody else than the caller.
    package static let notSameUser = Reason("not_same_user")
    /// A pid and descriptors came together.
    package static let pidAndDescriptors = Reason("pid_and_descriptors")
    /// The daemon's /proc does not show the processes of others.
    package static let processHidden = Reason("process_hidden")
    /// The kernel keeps the daemon out of the process.
    package static let ptraceRefused = Reason("ptrace_refused")
    /// Yama keeps the daemon out of the process.
    package static let yamaPtraceScope = Reason("yama_ptrace_scope")

    // MARK: Address spaces

    /// An access to the address space waits for a page that does not come.
    package static let addressSpaceStuck = Reason("address_space_stuck")
    /// The address space is bound to a device.
    package static let mmBound = Reason("mm_bound")
    /// Pages of the address space are mapped.
    package static let mmMapped = Reason("mm_mapped")
    /// There is no process whose pages could be mapped.
    package static let mmSynthetic = Reason("mm_synthetic")
    /// Only the process itself changes its address space.
    package static let mmOfProcess = Reason("mm_of_process")
    /// The range meets an area that is mapped.
    package static let vaInUse = Reason("va_in_use")
    /// The process has nothing at the address.
    package static let vaNotMapped = Reason("va_not_mapped")
    /// The process itself may not do there what devices are to do.
    package static let vaNotPermitted = Reason("va_not_permitted")

    // MARK: Helpers

    /// The helper that worked in the process's memory has ended.
    package static let memoryHelperLost = Reason("memory_helper_lost")
    /// No helper can be had.
    package static let noMemoryHelper = Reason("no_memory_helper")

    // MARK: Bonds

    /// The bond is held by open queues only.
    package static let bondOfQueues = Reason("bond_of_queues")
    /// The device cannot share address spaces.
    package static let noSVA = Reason("no_sva")
    /// No PASID is left that the device can send.
    package static let pasidExhausted = Reason("pasid_exhausted")
    /// The device cannot send the PASID of the address space.
    package static let pasidTooLarge = Reason("pasid_too_large")
    /// The bond ended while the access waited.
    package static let svaUnbound = Reason("sva_unbound")
    /// Devices use too much of all processes' memory at once.
    package static let noProcessWindows = Reason("no_process_windows")

    // MARK: Queues

    /// The device is no accelerator.
    package static let noQueues = Reason("no_queues")
    /// The queue has not been started.
    package static let queueNotStarted = Reason("queue_not_started")
    /// The queue has been started.
    package static let queueStarted = Reason("queue_started")
    /// The queue was stopped while the operation ran.
    package static let queueStopped = Reason("queue_stopped")
    /// All queues of the device are open.
    package static let queuesInUse = Reason("queues_in_use")
}
