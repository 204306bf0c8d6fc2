"""NextGen's native API as recorded answers and vendors.md §7.1 show it: members of items, refusals, addresses.

Law: what no source shows is marked as unverified.
"""

from __future__ import annotations

from types import MappingProxyType

PERSON_MEMBERS = (
    "id", "firstName", "lastName", "middleName", "prefix", "prefixId", "suffix", "suffixId", "addressLine1",
    "addressLine2", "city", "state", "zip", "countryId", "country", "countyId", "county", "secondaryAddressLine1",
    "secondaryAddressLine2", "secondaryCity", "secondaryState", "secondaryZip", "secondaryCountryId",
    "secondaryCountry", "secondaryCountyId", "secondaryCounty", "homePhone", "homePhoneComment", "secondaryHomePhone",
    "secondaryHomePhoneComment", "dayPhone", "dayPhoneExtension", "dayPhoneComment", "alternatePhone",
    "alternatePhoneDescription", "alternatePhoneExtension", "alternatePhoneComment", "internationalHomePhone",
    "internationalWorkPhone", "internationalZip", "cellPhone", "cellPhoneComment", "email", "emailAddressComment",
    "contactSequence", "sex", "dateOfBirth", "age", "socialSecurityNumber", "contactPreferenceId",
    "contactPreferenceDescription", "primaryCareProviderId", "primaryCareProviderFullName",
    "primaryCareProviderFirstName", "primaryCareProviderLastName", "primaryCareProviderMiddleInitial",
    "maritalStatus", "studentStatus", "isExpired", "isSmoker", "isVeteran", "notificationPreferenceSelected",
    "preferredLanguageId", "preferredLanguage", "religionId", "churchId", "udsHomelessStatusId",
    "udsMigrantWorkerStatusId", "udsLanguageBarrierId", "udsPrimaryMedicalCoverageId",
    "udsPublicHousingPrimaryCareId", "udsSchoolBasedHealthCenterId", "udsTribalAffiliationId", "udsBloodQuantumId",
    "udsVeteranStatus", "isSelfPayer", "udsHasConsentToTreat", "udsConsentToTreatDate", "udsIhsEligibilityStatusId",
    "udsTribalClassId", "udsDecendancyId", "communityCodeId", "currentGender", "previousFirstName",
    "sexualOrientation", "preferredPronoun", "patientStatusId", "patientStatusChangeReasonId",
    "userDefinedDemographic1Id", "userDefinedDemographic2Id", "userDefinedDemographic3Id",
    "userDefinedDemographic4Id", "userDefinedDemographic5Id", "userDefinedDemographic6Id",
    "userDefinedDemographic7Id", "userDefinedDemographic8Id", "userDefinedDemographic9Id",
    "userDefinedDemographic10Id", "userDefinedDemographic11Id", "userDefinedDemographic12Id",
    "userDefinedDemographic13Id", "userDefinedDemographic14Id", "isCurrentGenderProtected",
    "isGenderIdentityProtected", "isPreferredPronounProtected", "isSexualOrientationProtected", "otherIdNumber",
    "priorLastName", "externalId", "primaryDentalProviderId", "primaryDentalProviderName", "nickname",
    "showContactInfoOnAlert", "mothersMaidenName", "hasEmail", "hasPhoneNumber", "usesPortal", "usesSms", "hasVoice",
    "isOptOut", "isHomePhoneNotApplicable", "isCellPhoneNotApplicable", "isAlternatePhoneNotApplicable",
    "isDayPhoneNotApplicable", "isSecondaryHomePhoneNotApplicable", "isInternationalPhoneNotApplicable",
    "isEmailNotApplicable", "expiredDate", "expiredTime", "expiredTimeTz", "birthMothersLastName",
    "birthMothersFirstName", "birthMothersMiddleName", "exemptFromPersonMerge", "addressTypeId",
    "secondaryAddressTypeId", "isEnterpriseChart", "otherReasonSexualOrientation", "createdBy", "createTimestamp",
    "createTimestampTimezone", "createTimestampLocalUtcOffset", "modifiedBy", "modifyTimestamp",
    "modifyTimestampTimezone", "modifyTimestampLocalUtcOffset", "provenanceInfo", "enterpriseId", "practiceId",
    "createTimestampUtc", "modifyTimestampUtc", "isHomePhoneEnabled", "isCellPhoneEnabled", "isAlternatePhoneEnabled",
    "isDayPhoneEnabled", "isSecondaryHomePhoneEnabled", "isInternationalPhoneEnabled", "isEmailEnabled",
)  # fmt: skip
"""Of `GET persons/{id}`, in their order; most are null."""

PERSON_FLAGS = (
    "isExpired", "isSmoker", "isVeteran", "isSelfPayer", "udsHasConsentToTreat", "isCurrentGenderProtected",
    "isGenderIdentityProtected", "isPreferredPronounProtected", "isSexualOrientationProtected",
    "showContactInfoOnAlert", "hasPhoneNumber", "usesPortal", "usesSms", "hasVoice", "isOptOut",
    "isHomePhoneNotApplicable", "isCellPhoneNotApplicable", "isAlternatePhoneNotApplicable",
    "isDayPhoneNotApplicable", "isSecondaryHomePhoneNotApplicable", "isInternationalPhoneNotApplicable",
    "isEmailNotApplicable", "exemptFromPersonMerge", "isEnterpriseChart", "isHomePhoneEnabled", "isCellPhoneEnabled",
    "isAlternatePhoneEnabled", "isDayPhoneEnabled", "isSecondaryHomePhoneEnabled", "isInternationalPhoneEnabled",
    "isEmailEnabled",
)  # fmt: skip
"""Those that are false where nothing is known."""

ENCOUNTER_MEMBERS = (
    "id", "enterpriseId", "practiceId", "personId", "timestamp", "timestampUtc", "timestampLocalUtcOffset",
    "timestampTimezone", "locationId", "locationName", "isLocked", "renderingProviderId", "renderingProviderName",
    "status", "encounterNumber", "referringProviderId", "referringProviderName", "printOnStatements", "isSensitive",
    "suppressPortal", "suppressOutreach", "checkInDateTime", "checkInDateTimeUtc", "checkInDateTimeLocalUtcOffset",
    "checkInTimezone", "checkOutDateTime", "checkOutDateTimeUtc", "checkOutDateTimeLocalUtcOffset",
    "checkOutTimezone", "modifyTimestamp", "modifyTimestampUtc", "dischargeStatusCode",
)  # fmt: skip
"""Of an item of `persons/{id}/chart/encounters`."""

DOCUMENT_MEMBERS = (
    "id", "personId", "description", "itemType", "createdBy", "createTimestamp", "createTimestampUtc",
    "createTimestampLocalUtcOffset", "createTimestampTimezone", "modifiedBy", "modifyTimestamp", "modifyTimestampUtc",
    "modifyTimestampLocalUtcOffset", "modifyTimestampTimezone", "encounterId", "isRestricted", "signoffStatus",
    "enterpriseId", "practiceId", "loincCode", "diagnosticLoincCode", "diagnosticCategories", "isSensitive",
    "isSuppressPortal", "isSuppressOutreach",
)  # fmt: skip
"""Of an item of `persons/{id}/chart/documents`."""

APPOINTMENT_MEMBERS = (
    "id", "appointmentDate", "beginTime", "isCancelled", "cancelReasonId", "isKept", "isDeleted", "isRescheduled",
    "rescheduleReasonId", "rescheduledAppointmentId", "promptToRetain", "isRetained", "retainedAppointmentId",
    "details", "duration", "encounterId", "endTime", "eventId", "eventName", "locationId", "locationName",
    "practiceId", "renderingProviderId", "renderingProviderFirstName", "renderingProviderMiddleName",
    "renderingProviderLastName", "resourceIds", "resourceDisplayName", "workflowRoom", "workflowStatus", "personId",
    "firstName", "middleName", "lastName", "dateOfBirth", "sex", "homePhone", "dayPhone", "addressLine1",
    "addressLine2", "city", "state", "zip", "imageId", "email", "cellPhone", "createTimestamp", "modifyTimestamp",
    "marketingPlanId", "marketingSourceId", "marketingPlanComments", "userDefined1", "userDefined2", "userDefined3",
    "userDefined4", "userDefined5", "userDefined6", "userDefined7", "userDefined8", "caseManagementCaseId",
    "description", "procedureWithResident", "referringProviderId", "appointmentConfirmed", "virtualVisitLink",
    "groupAppointmentId",
)  # fmt: skip
"""Of `GET appointments/{id}`."""

BOOKING_MEMBERS = (
    "practiceId", "eventId", "categoryIds", "appointmentDate", "personId", "isCancelled", "isRescheduled",
    "isDeleted", "isKept", "createTimestamp", "modifyTimestamp", "appointmentId",
)  # fmt: skip
"""Of an item of `persons/{id}/appointments`."""

SEXES = MappingProxyType({"male": "M", "female": "F", "unknown": "U", "other": "O"})
"""unverified: codes but M."""

NO_ID = "00000000-0000-0000-0000-000000000000"
ENTERPRISE, PRACTICE = "00002", "0006"
INNER_API = "http://127.0.0.1:889/CLINE001-VM009.NextGenDemo/NextGen.Api.Edge/6.0.0.767/api"
"""Where links to next pages lead: an address behind the gateway that no client reaches."""
API_VERSION = "6.0.0.767"

NOT_A_GUID = "The value '{}' is not valid for Guid."
NO_METHOD = "The requested resource does not support http method '{}'."
NO_CRITERIA = "Argument criteria cannot be null.\r\nParameter name: criteria"
BAD_QUERY = "The query specified in the URI is not valid."
NO_SESSION = "The session is missing or no longer valid."
DUPLICATE = "A person with the same name, date of birth and sex already exists."
"""The last three: unverified wording."""
