/// Reasons: accesses of devices.
extension Reason {
    // MARK: What an access is

    /// Nobody answered the fault of the access in time.
    package static let accessTimedOut = Reason("access_timed_out")
    /// The range goes beyond the last address.
    package static let addressOverflow = Reason("address_overflow")
    /// A length that no access has.
    package static let badLength = Reason("bad_length")
    /// The device has no stream.
    package static let noStream = Reason("no_stream")

    // MARK: How it ends without a record

    /// The SMMU aborts the translation request (3.9.1).
    package static let atsCompleterAbort = Reason("ats_completer_abort")
    /// The translation request is answered without rights (3.9.1).
    package static let atsNoAccess = Reason("ats_no_access")
    /// The stream may not use translated addresses.
    package static let atsTranslatedForbidden = Reason("ats_translated_forbidden")
    /// The stream may not send translation requests.
    package static let atsUnsupportedRequest = Reason("ats_unsupported_request")
    /// The address has more bits than physical addresses have.
    package static let addressBeyondOAS = Reason("address_beyond_oas")
    /// The device is not attached to anything.
    package static let blocked = Reason("blocked")
    /// The fault is not recorded (CD.R = 0, or the event queue has no room).
    package static let faultNotRecorded = Reason("fault_not_recorded")
    /// The faults of the access were answered, and come again.
    package static let faultNotResolved = Reason("fault_not_resolved")
    /// GBPA.ABORT ends all transactions of an SMMU that is off.
    package static let gbpaAbort = Reason("gbpa_abort")
    /// No memory is behind the translated address any more.
    package static let noMemoryThere = Reason("no_memory_there")
    /// The page request of the access was refused.
    package static let pageRequestFailed = Reason("page_request_failed")
    /// The process permits the access, but its page cannot be had.
    package static let pageUnreachable = Reason("page_unreachable")
    /// The address space has ended.
    package static let quiesced = Reason("quiesced")
    /// The access reads zeroes or is ignored (CD.A = 0).
    package static let razWI = Reason("raz_wi")
    /// The SMMU is off.
    package static let smmuDisabled = Reason("smmu_disabled")
    /// The STE ends all transactions of the stream.
    package static let steAbort = Reason("ste_abort")

    // MARK: How it ends with a record: the event's type

    /// F_UUT (7.3.2).
    package static let fUUT = Reason("f_uut")
    /// C_BAD_STREAMID (7.3.3).
    package static let cBadStreamID = Reason("c_bad_streamid")
    /// F_STE_FETCH (7.3.4).
    package static let fSTEFetch = Reason("f_ste_fetch")
    /// C_BAD_STE (7.3.5).
    package static let cBadSTE = Reason("c_bad_ste")
    /// F_BAD_ATS_TREQ (7.3.6).
    package static let fBadATSTReq = Reason("f_bad_ats_treq")
    /// F_STREAM_DISABLED (7.3.7).
    package static let fStreamDisabled = Reason("f_stream_disabled")
    /// F_TRANSL_FORBIDDEN (7.3.8).
    package static let fTranslForbidden = Reason("f_transl_forbidden")
    /// C_BAD_SUBSTREAMID (7.3.9).
    package static let cBadSubstreamID = Reason("c_bad_substreamid")
    /// F_CD_FETCH (7.3.10).
    package static let fCDFetch = Reason("f_cd_fetch")
    /// C_BAD_CD (7.3.11).
    package static let cBadCD = Reason("c_bad_cd")
    /// F_WALK_EABT (7.3.12).
    package static let fWalkEAbt = Reason("f_walk_eabt")
    /// F_TRANSLATION (7.3.13).
    package static let fTranslation = Reason("f_translation")
    /// F_ADDR_SIZE (7.3.14).
    package static let fAddrSize = Reason("f_addr_size")
    /// F_ACCESS (7.3.15).
    package static let fAccess = Reason("f_access")
    /// F_PERMISSION (7.3.16).
    package static let fPermission = Reason("f_permission")
    /// F_TLB_CONFLICT (7.3.17).
    package static let fTLBConflict = Reason("f_tlb_conflict")
    /// F_CFG_CONFLICT (7.3.18).
    package static let fCFGConflict = Reason("f_cfg_conflict")
    /// E_PAGE_REQUEST (7.3.19).
    package static let ePageRequest = Reason("e_page_request")
    /// F_VMS_FETCH (7.3.20).
    package static let fVMSFetch = Reason("f_vms_fetch")
    /// An event whose number is none of the architecture.
    package static let unknownEvent = Reason("unknown_event")
}

extension Reason {
    private static let events: [Reason] = [
        .fUUT, .cBadStreamID, .fSTEFetch, .cBadSTE, .fBadATSTReq, .fStreamDisabled, .fTranslForbidden,
        .cBadSubstreamID, .fCDFetch, .cBadCD, .fWalkEAbt, .fTranslation, .fAddrSize, .fAccess, .fPermission,
        .fTLBConflict, .fCFGConflict, .ePageRequest, .fVMSFetch,
    ]

    /// The reason of an access that ended with a record of this type, such as "F_TRANSLATION".
    static func event(_ type: String) -> Reason {
        let slug = type.lowercased()
        return events.first { $0.slug == slug } ?? .unknownEvent
    }
}
