#include "mail/fold.h"

struct mail_fold mail_fold_start(struct buffer *to, struct view name)
{
    buffer_add(to, name);
    buffer_add_char(to, ':');
    return (struct mail_fold){ .to = to, .column = name.len + 1 };
}

void mail_fold_word(struct mail_fold *fold, struct view word)
{
    if (fold->broken || fold->column + 1 + word.len >= MAIL_LINE_GUIDE) { /* room for a ";" */
        buffer_add(fold->to, VIEW("\r\n"));
        fold->column = 0;
    }
    buffer_add_char(fold->to, ' ');
    buffer_add(fold->to, word);
    fold->column += 1 + word.len;
    fold->broken = false;
}

void mail_fold_break(struct mail_fold *fold)
{
    fold->broken = true;
}

void mail_fold_end(struct mail_fold *fold)
{
    buffer_add(fold->to, VIEW("\r\n"));
}
