//! The Matrix provider against a simulated homeserver, and the same against a real Synapse where one is installed.

mod equal;
mod faults;
mod gateway;
mod home;
mod looks;
mod stage;
mod suite;

/// Each test twice: on the simulator, and on the real thing.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod simulated {
            $(#[tokio::test]
            async fn $name() {
                super::suite::$name(super::home::Home::simulated().await).await;
            })*
        }
        mod real {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(home) = super::home::Home::real().await else { return };
                super::suite::$name(home).await;
            })*
        }
    };
}

on_both!(
    a_whole_manifest_is_applied_in_sync_and_taken_back,
    a_second_plan_makes_no_write_call,
    every_field_that_changes_is_changed_in_place_and_back,
    a_room_of_version_10_is_as_good_as_one_of_version_12,
    members_count_by_their_join_and_not_by_an_invitation,
    a_bot_is_named_once_the_gateway_has_settled,
    a_name_that_somebody_else_gave_is_set_back_and_one_not_asked_for_stays,
    who_left_by_themselves_is_left_in_peace_and_an_agent_is_brought_back,
    exactly_those_in_the_manifest_stay_where_the_policy_says_so,
    a_forged_marker_counts_for_nothing,
    a_room_that_somebody_else_made_under_our_alias_is_blocked,
    a_lost_state_directory_loses_no_room_and_makes_no_second_one,
    a_retired_room_leaves_its_name_for_a_new_one,
    a_kept_room_is_let_go_of,
    a_purged_room_is_gone,
    a_user_whose_creation_was_taken_back_can_be_made_again,
    a_token_is_minted_kept_private_and_dropped,
    a_room_finds_its_space_and_leaves_it,
    a_picture_is_uploaded_once,
    our_own_user_is_never_deactivated,
    a_room_that_our_own_user_left_or_lost_power_in_is_entered_again,
    a_person_of_another_homeserver_is_invited_and_counts_while_invited,
    encryption_is_switched_on_last_and_never_off,
    a_renamed_alias_moves_with_its_room,
    a_hand_edit_is_shown_as_such_and_set_back,
);
