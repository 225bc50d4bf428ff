/// Address spaces of processes, and queues that work on them.
extension Refusals {
    static let mmExited = Refusals(.ESRCH, .mmExited, "The address space has ended.")
    static let mmOfProcess = Refusals(.EINVAL, .mmOfProcess, "Only the process itself changes its address space.")

    /// A call that looks first whether an address space still lives.
    static let looking = Refusals(sessionEnds, stopping)

    /// What works in the memory of processes is not to be had.
    static let helper = Refusals(
        Refusals(
            .EIO, .memoryHelperLost, "The helper that worked in the process's memory ended before it was through."),
        Refusals(.EAGAIN, .noMemoryHelper, "No helper can be had that works in the memory of processes."))

    /// Pages of a process that are to be mapped.
    static let lending = Refusals(
        helper, mmExited, unknownMM,
        Refusals(.EOPNOTSUPP, .callersMemoryOnly, "With `mm`: the kernel maps only pages of whoever calls it."),
        Refusals(.EINVAL, .mmSynthetic, "The address space was made up: no process has its pages."),
        Refusals(.EFAULT, .vaNotMapped, "The process has nothing at one of the addresses."),
        Refusals(.EPERM, .vaNotPermitted, "The process itself may not do there what `access` says."),
        Refusals(.ENOMEM, .noPhysicalSpace, "No range of emulated physical addresses is left for them."),
        Refusals(.EBUSY, .addressSpaceStuck, "An access to the address space waits for a page that does not come."))

    /// A process, by pid or descriptors.
    static let process = Refusals(
        helper, room, mmExited, descriptors,
        Refusals(.ESRCH, .noSuchProcess, "There is no such process any more."),
        Refusals(.EINVAL, .pidAndDescriptors, "A pid and descriptors came together."),
        Refusals(.EINVAL, .notMemAndMaps, "The two descriptors are not the mem and maps files of one process."),
        Refusals(.EINVAL, .foreignPidNamespace, "The process is not visible in the daemon's pid namespace."),
        Refusals(.EPERM, .notSameUser, "The process does not run as the caller."),
        Refusals(.EPERM, .notDumpable, "The process is not dumpable, or holds capabilities that the daemon does not."),
        Refusals(.EPERM, .processHidden, "The daemon's /proc does not show processes of other users."),
        Refusals(.EPERM, .noCapSysPtrace, "The daemon runs without CAP_SYS_PTRACE."),
        Refusals(.EPERM, .yamaPtraceScope, "Yama (kernel.yama.ptrace_scope) keeps the daemon out of the process."),
        Refusals(.EPERM, .ptraceRefused, "The kernel keeps the daemon out of the process."),
        sessionEnds, stopping)

    /// A bond between a device and an address space.
    static let bond = Refusals(
        device, unknownMM, mmExited, room, tables,
        Refusals(.ENODEV, .noSVA, "The device, or one of its group, has no PASIDs or cannot wait for pages."),
        Refusals(.ENOSPC, .pasidExhausted, "All PASIDs that the device can send are in use."),
        Refusals(.ENOSPC, .asidExhausted, "All ASIDs are in use."),
        Refusals(.EOVERFLOW, .pasidTooLarge, "The address space has a PASID that the device cannot send."),
        Refusals(.EBUSY, .pasidInUse, "The PASID of the address space is attached to something else on the device."),
        Refusals(.EINVAL, .deviceOnStage2, "The device itself is on stage 2 or nested."))

    /// A queue whose device or address space has ended.
    static let queueEnded = Refusals(
        unknownQueue, mmExited,
        Refusals(.ENODEV, .deviceRemoved, "The device has been unplugged."),
        Refusals(.ENODEV, .deviceUnbound, "The device has been unbound."))
}
